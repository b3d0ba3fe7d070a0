"""What was computed once is kept; who asks while it is being computed waits for it instead of computing it again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Memo:
    """The ``most`` values used last, by key. Errors are raised to all who wait, and not kept."""

    def __init__(self, most: int = 512) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of ``key``, made now if it is not there."""
        with self._lock:
            found = self._values.get(key)
            if found is not None:
                self._values.move_to_end(key)
            else:
                mine: Future[Any] = Future()
                self._values[key] = mine
                while len(self._values) > self._most:
                    self._values.popitem(last=False)
        if found is not None:
            value: T = found.result()
            return value
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                if self._values.get(key) is mine:
                    del self._values[key]
            mine.set_exception(error)
            raise
        mine.set_result(made)
        return made

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()


memo = Memo()
"""Of the whole process: pages, image routes and the warm-up share it."""
