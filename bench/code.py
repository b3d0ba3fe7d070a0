"""Which files a method's or metric's numbers depend on, and their digest; found by reading source, nothing is loaded.

Counted are the module itself and, through its imports, the modules of the same package or beside the same file, modules on the path that
are no installed package (``PYTHONPATH``), and the parts of FaceSR-Bench that compute. Of a user's file also what its texts name: modules that
are imported by name, folders put on ``sys.path``, tables and weights beside it (or in the working folder), and what scripts and settings
among them name in turn. Rather a file too many than one too few: one that changed without need costs a computation, one that is missed gives
an old number. Installed packages are not counted: ``run.json`` names their versions. Nor are logs.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.weights.files import weight_sha256

OWN = "facesr"
ROOT = Path(__file__).parents[1]
COMPUTING = tuple(
    f"{OWN}.{part}"
    for part in ("methods", *(f"bench.{m}" for m in ("imaging", "networks", "metrics", "align", "detect", "onnxnet")))
)
"""Packages and modules of ours that enter a digest where they are imported."""
SCRIPTS = ("", ".sh", ".bash", ".zsh", ".bat", ".cmd", ".ps1", ".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".m", ".r", ".jl",
           ".lua", ".pl", ".rb", ".js")  # fmt: skip
"""Files whose words may name further files; Python is parsed."""
NO_INPUT = (".log", ".lock", ".pid", ".pyc", ".out", ".err")
LOGS = ("log", "nohup.out")
MAX_SCRIPT = 256 * 1024
SMALL = 1 << 20
"""Bytes below which a file is read again rather than remembered."""
MANY = 4096
"""Files behind one target at most: more are a data set."""


def code_digest(target: str) -> str:
    """sha256 over the files behind ``module:Class`` or ``file.py:Class``, whatever they are called and wherever they lie."""
    whole = hashlib.sha256()
    for digest in sorted(file_digest(f) for f in sources(target)):
        whole.update(digest.encode())
    return whole.hexdigest()


def file_digest(file: Path) -> str:
    """sha256 of a file behind a target; of Python source whatever its line ends."""
    if file.suffix == ".py":
        return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    if file.stat().st_size < SMALL:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    return weight_sha256(file)


def sources(target: str) -> list[Path]:
    """The files behind a target, its own first. Raises ``FaceSRError`` where it is not there."""
    name = target.rpartition(":")[0]
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise FaceSRError(f"no file {name}")
        return behind([Path(name)])
    found = _installed(name)
    if not found:
        raise FaceSRError(f"module {name} is not installed")
    start, package = found[-1], name if found[-1].name == "__init__.py" else name.rpartition(".")[0]
    top = name.partition(".")[0]
    folder = (
        ROOT.parent if top == OWN else found[0].parent.parent if "." in name or found[0].name == "__init__.py" else found[0].parent
    )
    return behind([start], {start: package}, [folder])


def behind(
    starts: Sequence[Path], packages: Mapping[Path, str] | None = None, places: Sequence[Path] = (), cwd: Path | None = None
) -> list[Path]:
    """``starts`` and every file that they come to through imports and names. ``packages``: of modules that lie in one; ``places``: where
    imports are looked for besides; ``cwd``: where names are looked for besides, the working folder unless given."""
    found = _Behind(list(places), cwd or Path.cwd())
    for file in starts:
        found.add(file, (packages or {}).get(file, ""))
    return found.all()


@dataclass
class _Behind:
    """The files found so far, and what they import and name."""

    places: list[Path]
    cwd: Path
    seen: dict[Path, None] = field(default_factory=dict)
    todo: list[tuple[Path, str]] = field(default_factory=list)
    imports: dict[tuple[str, Path], None] = field(default_factory=dict)
    words: dict[tuple[str, Path], None] = field(default_factory=dict)
    listings: dict[Path, set[str]] = field(default_factory=dict)
    followed: set[tuple[str, tuple[Path, ...]]] = field(default_factory=set)

    def add(self, file: Path, package: str = "") -> None:
        if file not in self.seen and len(self.seen) < MANY:
            self.seen[file] = None
            self.todo.append((file, package))

    def all(self) -> list[Path]:
        known = (0, 0)
        while known != (len(self.seen), len(self.places)):
            known = len(self.seen), len(self.places)
            while self.todo:
                self._read(*self.todo.pop())
            for name, beside in list(self.imports):
                self._follow(name, () if name.partition(".")[0] == OWN else tuple(dict.fromkeys((*self.places, beside))))
            for word, beside in list(self.words):
                self._named(word, beside)
        return list(self.seen)

    def _follow(self, name: str, places: tuple[Path, ...]) -> None:
        """Take in the files of an imported module that count: of ours, in one of ``places``, or loose on the path."""
        if (name, places) in self.followed:
            return
        self.followed.add((name, places))
        for path, inside in self._found(name, places):
            self.add(path, inside)

    def _found(self, name: str, places: tuple[Path, ...]) -> Iterator[tuple[Path, str]]:
        """Those files, each with its package."""
        top = name.partition(".")[0]
        if top == OWN:
            return along(ROOT.parent, name, COMPUTING) if name.startswith(COMPUTING) else iter(())
        for place in places:
            beside = self._listed(place)
            if (
                (f"{top}.py" in beside and (place / f"{top}.py").is_file())
                or (top in beside and (place / top).is_dir())
                or any(entry.startswith(f"{top}.") and entry[len(top) + 1 :].endswith(".so") for entry in beside)
            ):
                return along(place, name)
        loose = None if top in sys.stdlib_module_names else _loose(top)
        return iter(()) if loose is None else along(loose, name)

    def _read(self, file: Path, package: str) -> None:
        theirs = not file.is_relative_to(ROOT)
        imports, words = (
            _parsed(file.read_bytes(), package, theirs) if file.suffix == ".py" else _script(file) if theirs else (set(), set())
        )
        self.imports |= dict.fromkeys((name, file.parent) for name in sorted(imports))
        self.words |= dict.fromkeys((word, file.parent) for word in sorted(words))

    def _named(self, word: str, beside: Path) -> None:
        """Take in what a word of a file in the folder ``beside`` names: a file, the files of a pattern, a module, a folder to look into."""
        if word.startswith("/") and "*" not in word:
            self._take(Path(word))
        inner = word.removeprefix("./").lstrip("/")  # the end of f"{here}/table.npy" names a file too
        first, near = inner.partition("/")[0], (beside, beside.parent)
        for place in dict.fromkeys((*near, *self.places, self.cwd)):
            if first not in self._listed(place) and "*" not in first and f"{first.partition('.')[0]}.py" not in self._listed(place):
                continue
            if "*" in inner:
                for file in sorted(place.glob(inner)) if place in (beside, *self.places) and Path(inner).suffix else []:
                    self._take(file)
            elif (path := place / inner).is_dir() and place in near and len(self.places) < MANY:
                self.places += [path] if path not in self.places else []
            else:
                self._take(path)
            if all(part.isidentifier() for part in word.split(".")):
                for file, inside in along(place, word):
                    self.add(file, inside)

    def _take(self, file: Path) -> None:
        with suppress(OSError, ValueError):  # a text that is no path
            if file.is_file() and file.suffix not in NO_INPUT and file.name not in LOGS and not is_interpreter(file):
                self.add(file)

    def _listed(self, folder: Path) -> set[str]:
        if folder not in self.listings:
            try:
                self.listings[folder] = {entry.name for entry in folder.iterdir()}
            except OSError:
                self.listings[folder] = set()
        return self.listings[folder]


def is_interpreter(file: Path) -> bool:
    """Whether a program lies among the system's or an environment's: its version is the user's to pin, and it is large."""
    return file.parent.name in ("bin", "sbin", "Scripts") and file.suffix not in (".py", ".sh")


def _script(file: Path) -> tuple[set[str], set[str]]:
    """Modules that a script runs (``-m``), and the words of a script or a file of settings; nothing of other files."""
    if file.suffix.lower() not in SCRIPTS or file.stat().st_size > MAX_SCRIPT:
        return set(), set()
    data = file.read_bytes()
    if b"\0" in data:
        return set(), set()
    text = data.decode(errors="replace")
    return set(re.findall(r"(?:^|\s)-m\s+([A-Za-z_][\w.]*)", text)), _usable(re.findall(r"[^\s\"'`=:;,|&<>(){}\[\]]+", text))


def _usable(words: Iterable[str]) -> set[str]:
    """Texts that may be a file's name."""
    return {
        w for w in words if 1 < len(w) < 256 and "\n" not in w and "\0" not in w and w.strip("./\\ *") and any(map(str.isalnum, w))
    }


def along(place: Path, name: str, only: tuple[str, ...] = ("",)) -> Iterator[tuple[Path, str]]:
    """The ``__init__`` files on the way to a module, and its own file."""
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        base, here = place.joinpath(*parts[:n]), ".".join(parts[:n])
        if not here.startswith(only):
            continue
        if (base / "__init__.py").is_file():
            yield base / "__init__.py", here
        elif base.with_suffix(".py").is_file():
            yield base.with_suffix(".py"), here.rpartition(".")[0]
        elif base.parent.is_dir():
            yield from ((file, here.rpartition(".")[0]) for file in sorted(base.parent.glob(f"{base.name}.*.so")))


@lru_cache(maxsize=1024)
def _loose(top: str) -> Path | None:
    """The folder of a module that is on the path without being installed (the working folder, ``PYTHONPATH``)."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    file = Path(spec.origin)
    if {"site-packages", "dist-packages"} & set(file.parts) or file.is_relative_to(sys.base_prefix):
        return None
    return file.parent.parent if file.name == "__init__.py" else file.parent


def _installed(module: str) -> list[Path]:
    """The files from a module's top-level package down to its own."""
    top = module.partition(".")[0]
    if top == OWN:
        return [f for f, _ in along(ROOT.parent, module)][1:]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        return []
    file = Path(spec.origin)
    found = [f for f, _ in along(file.parent.parent if file.name == "__init__.py" else file.parent, module)]
    return (
        found
        if found and (found[-1].stem == module.rpartition(".")[2] or found[-1].parent.name == module.rpartition(".")[2])
        else []
    )


@lru_cache(maxsize=1024)
def _parsed(source: bytes, package: str, theirs: bool) -> tuple[set[str], set[str]]:
    """Full names of the modules a file imports anywhere in it, and, of a user's file, its texts; none of what is not valid Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set(), set()
    names: set[str] = set()
    for node in _statements(tree.body):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".") if package else []
                base = ".".join([*parts[: len(parts) - node.level + 1], *([base] if base else [])])
            names |= {base} if base else set()
            names |= {f"{base}.{a.name}" if base else a.name for a in node.names if a.name != "*"}
    if not theirs:
        return names, set()
    said = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings name no file that is read
    return names, _usable(
        n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in said
    )


def _statements(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Every statement of a file, however deep; expressions, which are most of a tree, hold none."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, ()))
