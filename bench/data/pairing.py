"""Which file of a folder is which face's: the one rule for finished images, LR and HR folders, by name and never by order.

Names agree whatever their Unicode form and capitals (``names.same``). A file that could be two faces', or a face with two files, is refused.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from facesr.bench.data.dataset import listing
from facesr.bench.data.names import same
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import SUFFIXES
from facesr.bench.reading import csv_rows, read_text

NAME = "{name}"
HEADERS = {"name", "face", "image", "hr", "reference"}
"""What a first cell may be called in a CSV of pairs whose first line is a heading."""


@dataclass(frozen=True)
class Rule:
    """How files are named. Without any: the file's stem is the face's name.

    ``suffix``: what follows the name in the stem, ``_sr`` for ``000123_sr.png``. ``pattern``: the file's name with ``{name}`` in it and ``*``
    for what varies (``{name}_*.png``, ``sr_{name}``, ``{name}/out.png``); without an image's ending, any of them will do. ``pairs``: a CSV of
    two columns, the face's name and its file (seen from the folder).
    """

    suffix: str = ""
    pattern: str = ""
    pairs: str = ""

    def __post_init__(self) -> None:
        given = [f"{what} {value!r}" for what, value in vars(self).items() if value]
        if len(given) > 1:
            raise FaceSRError(f"{' and '.join(given)}: one rule of pairing, please")
        if self.pattern and self.pattern.count(NAME) != 1:
            raise FaceSRError(f"pattern {self.pattern!r}: write the face's name once as {NAME}, as in {NAME}_sr.png")
        if "/" in self.suffix or self.pattern.startswith("/") or ".." in self.pattern.split("/"):
            raise FaceSRError(f"{given[0]}: files are looked for inside the folder")

    @property
    def form(self) -> str:
        """The rule as a pattern."""
        return self.pattern or f"{NAME}{self.suffix}"

    @property
    def whole(self) -> bool:
        """Whether the pattern is of the whole file name, ending included."""
        return self.form.lower().endswith((*SUFFIXES, ".npy"))


def rule_of(text: str) -> Rule:
    """A rule as people write it in one word: a pattern with ``{name}``, a ``.csv`` of pairs, else a suffix; '' for none."""
    if NAME in text:
        return Rule(pattern=text)
    return Rule(pairs=text) if text.lower().endswith(".csv") else Rule(suffix=text)


@dataclass(frozen=True)
class Pairs:
    """``files`` by face; ``without``: faces that have no file; ``unused``: files that are no face's, as seen from the folder."""

    files: dict[str, Path]
    without: tuple[str, ...]
    unused: tuple[str, ...]


class Partners:
    """The files of a folder, to be found by the names of faces. ``also``: endings of files that are no images (``.npy``). ``option``: the one
    that says how they are named, where it is no method's."""

    def __init__(self, folder: Path, rule: Rule | None = None, also: tuple[str, ...] = (), option: str = "") -> None:
        self.folder, self.rule, self.also, self.option = folder, rule or Rule(), also, option
        self._written: dict[str, str] = {}

    @cached_property
    def images(self) -> list[Path]:
        """The folder's images, as deep as the pattern says. Raises ``FaceSRError`` where there is no folder."""
        depth = self.rule.form.count("/")
        folders = [self.folder]
        for _ in range(depth):
            folders = sorted(inner for outer in folders for inner in outer.glob("*/"))
        return (
            [file for folder in folders for file in listing(folder, self.also)[0]] if depth else listing(self.folder, self.also)[0]
        )

    def find(self, name: str) -> Path | None:
        """The face's file, or None. Raises ``FaceSRError`` where several could be."""
        if self.rule.pairs:
            return self._listed.get(same(name))
        before, _, after = self.rule.form.partition(NAME)
        form = same(before + name + after) if "*" not in self.rule.form else ""
        start = form or (same(before + name) if "*" not in before else "")
        fits = re.compile("[^/]*".join(re.escape(same(p)) for p in _pieces(before, name, after)))
        found, texts = [], self._texts
        at = bisect_left(texts, (start,))
        while at < len(texts) and texts[at][0].startswith(start):
            if fits.fullmatch(texts[at][0]):
                found.append(texts[at][1])
            at += 1
        if len(found) > 1:
            listed = ", ".join(self._shown(file) for file in found[:3])
            raise FaceSRError(
                f"{self.folder} has several images of {name!r} ({listed}): one per face; a pattern or a CSV of pairs can say which"
            )
        return found[0] if found else None

    def match(self, names: Sequence[str]) -> Pairs:
        """The files of all faces ``names``. Raises ``FaceSRError`` where nothing pairs, or not in one way only."""
        found, problems = dict[str, Path](), list[str]()
        for name in names:
            try:
                file = self.find(name)
            except FaceSRError as error:
                problems.append(str(error))
                continue
            if file is not None:
                found[name] = file
        twice = [file for file, n in Counter(found.values()).items() if n > 1]
        problems += [f"{self._shown(f)} could be {' and '.join(repr(n) for n, g in found.items() if g == f)}" for f in twice]
        if problems := list(dict.fromkeys(problems)):
            more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
            raise FaceSRError("; ".join(problems[:3]) + more)
        if not found:
            raise FaceSRError(self._nothing(names))
        used = set(found.values())
        unused = tuple(self._shown(file) for file in self.images if file not in used)
        return Pairs(found, tuple(n for n in names if n not in found), unused)

    def names(self) -> list[str]:
        """The faces that the folder itself names, where nothing else does: the part of each file's name that the rule says, or the CSV's
        first column. Raises ``FaceSRError`` for two files of one face."""
        if self.rule.pairs:
            return sorted(self._written[name] for name in self._listed)
        before, _, after = self.rule.form.partition(NAME)
        form = re.compile(
            "[^/]*".join(map(re.escape, before.split("*"))) + "([^/]+)" + "[^/]*".join(map(re.escape, after.split("*")))
        )
        texts = (
            text if self.rule.whole else text.removesuffix(file.suffix) for file in self.images for text in [self._shown(file)]
        )
        found = [unicodedata.normalize("NFC", match[1]) for text in texts if (match := form.fullmatch(text))]
        if twice := [name for name, n in Counter(map(same, found)).items() if n > 1]:
            raise FaceSRError(f"{self.folder} has several images named {twice[0]!r}: faces are distinguished by name")
        if not found:
            raise FaceSRError(self._nothing([]))
        return sorted(found)

    def unused(self, names: Sequence[str]) -> tuple[str, ...]:
        """Stems of images that none of ``names`` is paired with; nothing is refused."""
        known = {same(name) for name in names}
        return tuple(file.stem for file in self.images if same(file.stem) not in known)

    # -- inside --------------------------------------------------------------------------------------------------------------

    @cached_property
    def _texts(self) -> list[tuple[str, Path]]:
        shown = ((self._shown(file), file) for file in self.images)
        return sorted((same(text if self.rule.whole else text.removesuffix(file.suffix)), file) for text, file in shown)

    def _shown(self, file: Path) -> str:
        return file.relative_to(self.folder).as_posix() if file.is_relative_to(self.folder) else str(file)

    @cached_property
    def _listed(self) -> dict[str, Path]:
        """The CSV of pairs."""
        place = Path(self.rule.pairs)
        text = read_text(place)
        rows = csv_rows(text, str(place))
        found, problems = dict[str, Path](), list[str]()
        for number, row in enumerate(rows, 1):
            cells = [cell.strip() for cell in row]
            if not any(cells) or (number == 1 and cells[0].lower() in HEADERS):
                continue
            if len(cells) != 2 or not all(cells):
                problems.append(f"line {number} is not 'face, file'")
                continue
            name, file = _bare(cells[0]), self.folder / cells[1]
            if not file.is_file():
                problems.append(f"line {number}: no file {file}")
            elif name in found:
                problems.append(f"line {number}: {cells[0]!r} has a file already")
            found[name] = file
            self._written[name] = unicodedata.normalize("NFC", _unended(cells[0]))
        if twice := [file for file, n in Counter(found.values()).items() if n > 1]:
            problems.append(f"{self._shown(twice[0])} is given to several faces")
        if problems or not found:
            more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
            raise FaceSRError(f"{place}: {'; '.join(problems[:3]) or 'no pairs'}{more}")
        return found

    def _nothing(self, names: Sequence[str]) -> str:
        """What to say where no file is a face's: examples of both sides, and the rule that would pair most."""
        if not self.images:
            return f"{self.folder} holds no images ({', '.join(SUFFIXES)})"
        files = [self._shown(file) for file in self.images]
        faces = f"; faces such as {', '.join(names[:2])}" if names else ""
        said = f"no image of {self.folder} is named as a face is (images such as {', '.join(files[:2])}{faces})"
        if self.rule.pairs:
            return f"{said}: {self.rule.pairs} names other faces"
        if not (rule := likely(names, [file.stem for file in self.images])):
            return f"{said}: images are paired by file name; a CSV of two columns, face and file, can say which is which ({self.option or 'pairs'})"
        if self.option:
            return f"{said}: probably {self.option} '{rule.suffix or rule.pattern}'"
        what, value = ("suffix", rule.suffix) if rule.suffix else ("pattern", rule.pattern)
        return f"{said}: probably {what} '{value}' (facesr score --{what} '{value}', facesr run --set 'METHOD.{what}={value}')"


def likely(names: Sequence[str], stems: Sequence[str]) -> Rule | None:
    """The suffix or pattern under which most of ``stems`` hold a face's name; None where none does."""
    by_length = sorted({same(name) for name in names}, key=len, reverse=True)
    counts: Counter[tuple[str, str]] = Counter()
    for stem in stems[:200]:
        text = same(stem)
        inside = next((name for name in by_length if name in text), None)
        if inside is not None and inside != text:
            at = text.find(inside)
            counts[stem[:at], stem[at + len(inside) :]] += 1
    if not counts:
        return None
    (before, after), _ = counts.most_common(1)[0]
    return Rule(pattern=f"{before}{NAME}{after}") if before else Rule(suffix=after)


def _pieces(before: str, name: str, after: str) -> list[str]:
    """The texts between the stars of a pattern, the name filled in (whose own stars are no stars)."""
    head, tail = before.split("*"), after.split("*")
    return [*head[:-1], head[-1] + name + tail[0], *tail[1:]]


def _bare(name: str) -> str:
    """A face's name as people write it in lists: with or without an image's ending."""
    return same(_unended(name))


def _unended(name: str) -> str:
    return name.rpartition(".")[0] if name.lower().endswith(SUFFIXES) else name
