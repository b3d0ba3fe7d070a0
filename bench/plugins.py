"""Users' files as modules, each with the modules beside it for itself: another folder's ``utils`` is another, and an edited one is new.

Python knows one module per name. Here a user's file and what it imports from its own folder, at once or inside a function, live in a room of
their own: while one of them imports, the room's modules stand in ``sys.modules``, and only then. They are always compiled from their source:
a ``.pyc`` of the same second and size may be of older code.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import Any

from facesr.bench.code import code_digest
from facesr.bench.errors import FaceSRError

_import = builtins.__import__
_lock = threading.RLock()


def load_file(path: Path) -> ModuleType:
    """Import a user's file; once for each content of it and of what it imports and names."""
    if not path.is_file():
        raise FaceSRError(f"no file {path}")
    path = path.resolve()
    code = code_digest(f"{path}:")
    name = f"facesr_plugin_{hashlib.sha256(f'{path}{code}'.encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    room = Room(path.parent)
    spec = importlib.util.spec_from_file_location(name, path, loader=room.loader(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with room.open():
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # for importlib.import_module inside functions
    return module


class Room:
    """The modules of one user's file: those of ``folder``, and of what it puts on ``sys.path`` below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.modules: dict[str, ModuleType] = {}
        self.builtins = {**vars(builtins), "__import__": self.imported}
        self.finders: dict[str, FileFinder] = {}
        self.depth = 0

    def loader(self, name: str, path: str) -> SourceFileLoader:
        """Of a module of this room."""
        return _Loader(self, name, path)

    def imported(
        self, name: str, globals: Mapping[str, Any] | None = None, locals: Any = None, fromlist: Sequence[str] = (), level: int = 0
    ) -> ModuleType:
        """``__import__`` as the room's modules see it."""
        if not level and self.find_spec(name.partition(".")[0]) is None:
            return _import(name, globals, locals, fromlist, level)
        with self.open():
            return _import(name, globals, locals, fromlist, level)

    @contextmanager
    def open(self) -> Iterator[None]:
        """The room's modules stand in ``sys.modules`` in place of others of their names."""
        with _lock:
            self.depth += 1
            if self.depth > 1:
                try:
                    yield
                finally:
                    self.depth -= 1
                return
            for finder in self.finders.values():
                finder.invalidate_caches()
            ours = {name for name in {n.partition(".")[0] for n in sys.modules} if self.find_spec(name) is not None}
            hidden = {n: sys.modules.pop(n) for n in list(sys.modules) if n.partition(".")[0] in ours}
            sys.modules.update(self.modules)
            sys.meta_path.insert(0, self)
            sys.path.insert(0, self.folder)
            try:
                yield
            finally:
                self.depth -= 1
                sys.path.remove(self.folder)
                sys.meta_path.remove(self)
                for name, module in list(sys.modules.items()):
                    if self._holds(module) and not name.startswith("facesr_plugin_"):
                        self.modules[name] = sys.modules.pop(name)
                sys.modules.update(hidden)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The spec of a module that lies in the room (``sys.meta_path`` asks for it), or None."""
        if (
            name.partition(".")[0] in sys.stdlib_module_names
            or name.partition(".")[0] == "facesr"
            or (path is None and "." in name)
        ):
            return None
        folders = []
        for place in dict.fromkeys(p for p in (path if path is not None else (self.folder, *sys.path)) if self._inside(p)):
            if place not in self.finders:
                loaders = ((ExtensionFileLoader, EXTENSION_SUFFIXES), (self.loader, SOURCE_SUFFIXES))
                self.finders[place] = FileFinder(place, *loaders)  # type: ignore[arg-type]
            found = self.finders[place].find_spec(name)
            if found is not None and found.loader is not None:
                return found
            folders += list(found.submodule_search_locations or ()) if found is not None else []
        return self._without_init(name, folders, path is None) if folders else None

    def _without_init(self, name: str, folders: list[str], top: bool) -> ModuleSpec | None:
        """A package without ``__init__.py``: of the room alone, unless a whole one of that name is installed."""
        elsewhere = PathFinder.find_spec(name, [p for p in sys.path if not self._inside(p)]) if top else None
        if not any(any(Path(f).glob("*.py")) for f in folders) or (elsewhere is not None and elsewhere.loader is not None):
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = folders
        return spec

    def _inside(self, place: str) -> bool:
        return place == self.folder or str(place).startswith(self.folder + os.sep)

    def _holds(self, module: ModuleType) -> bool:
        spec = getattr(module, "__dict__", {}).get("__spec__")  # some that stand in sys.modules answer to any name
        places = [getattr(spec, "origin", None), *(getattr(spec, "submodule_search_locations", None) or ())]
        return any(isinstance(p, str) and p.startswith(self.folder + os.sep) for p in places)


class _Loader(SourceFileLoader):
    """Compiles from source, and gives the module the room's ``__import__``."""

    def __init__(self, room: Room, name: str, path: str) -> None:
        super().__init__(name, path)
        self.room = room

    def path_stats(self, path: Any) -> Mapping[str, Any]:
        raise OSError  # so that no compiled file is looked for, nor written beside a user's

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self.room.builtins
        super().exec_module(module)
