"""Who does the tasks: this process, one after the other. Other ways (processes, clusters) offer the same ``do``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from facesr.bench.run.restoring import Loaded, RestoreResult, RestoreTask, restore
from facesr.bench.run.scoring import ScoreResult, ScoreTask, score

Task = RestoreTask | ScoreTask
Result = RestoreResult | ScoreResult


class Workers(Protocol):
    """Does tasks in any order. ``close`` ends what was started for it."""

    def do(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """Results as they come; tasks are drawn only a few ahead."""

    def close(self) -> None:
        """Stop at once."""


class Here:
    """Tasks in this process, one after the other."""

    def __init__(self) -> None:
        self.loaded = Loaded()

    def do(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, Result]]:
        """See ``Workers``."""
        for task in tasks:
            yield task, perform(task, self.loaded)
        self.loaded.forget()

    def close(self) -> None:
        """See ``Workers``."""
        self.loaded.forget()


def perform(task: Task, loaded: Loaded) -> Result:
    """Do one task in this process."""
    with one_thread():
        return restore(task, loaded) if isinstance(task, RestoreTask) else score(task)


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and the numerical libraries: last digits depend on how many there are. More workers do the parallel work."""
    import torch
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)
