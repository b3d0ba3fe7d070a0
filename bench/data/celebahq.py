"""CelebA-HQ and its standard split: CelebA's official partition carried over by the mapping file.

The project ships the rule, not the list: the mapping (``CelebA-HQ-to-CelebA-mapping.txt``, part of CelebAMask-HQ) is the user's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.reading import read_text

TRAIN_END, VAL_END = 162_770, 182_637
"""Last CelebA file numbers of the official train and val partitions (list_eval_partition.txt); the rest is test."""
TOTALS = {"train": 24_183, "val": 2_993, "test": 2_824, "all": 30_000}
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
REMEDY = "use the folder with the original numbers 0 to 29999"


def partition(celeba_number: int) -> str:
    """Partition of a CelebA file number (``182638.jpg`` is 182638)."""
    return "train" if celeba_number <= TRAIN_END else "val" if celeba_number <= VAL_END else "test"


def read_mapping(path: Path) -> dict[int, str]:
    """Split of every CelebA-HQ index from the mapping file: rows of index, original index, original file; a header is allowed."""
    files: dict[int, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        found = re.fullmatch(r"\s*(\d+)\s+(\d+)\s+(\d+)\.\w+\s*", line)
        if not found:
            if line.strip() and number > 1:
                raise FaceSRError(f"{path}: line {number} is not 'index original_index original_file'; {_of_30000(files)}")
            continue
        index, original, file = int(found[1]), int(found[2]), int(found[3])
        if original + 1 != file or files.setdefault(index, file) != file:
            raise FaceSRError(f"{path}: line {number} contradicts itself or another: {' '.join(line.split())[:80]}")
    if set(files) != set(range(TOTALS["all"])) or len(set(files.values())) != len(files):
        raise FaceSRError(f"{path}: {_of_30000(files)}")
    return {index: partition(file) for index, file in files.items()}


def _of_30000(files: Mapping[int, int]) -> str:
    return f"{len(files)} of 30,000 rows 'index original_index original_file' found; is it CelebA-HQ's mapping file?"


def find_mapping(source: Path, given: Path | None) -> Path:
    """The mapping file: as given, or beside or one level above the images."""
    if given is not None:
        if not given.is_file():
            raise FaceSRError(f"no mapping file {given}")
        return given
    folder = source if source.is_dir() else source.parent
    for place in (folder, folder.parent):
        if (place / MAPPING).is_file():
            return place / MAPPING
    raise FaceSRError(
        f"CelebA-HQ's split needs {MAPPING} (it comes with CelebAMask-HQ): put it beside the images in {folder}, or name it with --mapping FILE"
    )


def index_of(stem: str) -> int | None:
    """CelebA-HQ index in a file's stem (``17``, ``00017``, ``imgHQ00017``); None where there is none below 30,000."""
    found = re.fullmatch(r"\D*(\d{1,6})", stem)
    return int(found[1]) if found and int(found[1]) < TOTALS["all"] else None


def refuse_renumbered(names: Iterable[str], source: str, splits: Mapping[int, str]) -> str:
    """Refuse images whose numbers are not CelebA-HQ's; ``names``: their paths in the source. Returns what remains to be known, or ''.

    Signs: CelebA's own six-digit numbers or numbers past 29999; a count from 1; numbers without a gap from 0 that are exactly one split;
    one index in two places; folders named after a split that hold numbers of another split, or are numbered from 0 (g_partition.py does so).
    """
    groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
    names = list(names)
    # a set of shards without splits is called train
    shards = {_split_word(part) for name in names for part in name.split("/")[:-1] if part.endswith(".parquet")} != {"train"}
    for name in names:
        *folders, file = [source, *name.split("/")]
        if found := re.fullmatch(r"\D*(\d{1,6})", file.rpartition(".")[0]):
            if len(found[1]) == 6:
                raise FaceSRError(
                    f"{name} has a number of six digits, as CelebA's own files have; CelebA-HQ's indices have fewer: {REMEDY}"
                )
            groups[
                next((s for f in reversed(folders) if (s := _split_word(f)) and (shards or not f.endswith(".parquet"))), "")
            ].append((int(found[1]), name))
    for word, numbered in groups.items():
        _refuse_group(word, sorted(numbered), splits)
    every = sorted(pair for numbered in groups.values() for pair in numbered)
    for (index, first), (other, second) in pairwise(every):
        if index == other:
            raise FaceSRError(
                f"CelebA-HQ index {index} is there twice, as {first} and as {second}: name the one folder to use with --from"
            )
    if _gapless(every, 0) and len(every) < TOTALS["all"]:
        return f"the images are numbered 0 to {len(every) - 1} without a gap; that these are CelebA-HQ's own indices is assumed"
    return ""


def _gapless(numbered: Sequence[tuple[int, str]], start: int) -> bool:
    return len(numbered) > 1 and [n for n, _ in numbered] == list(range(start, start + len(numbered)))


def _refuse_group(word: str, numbered: Sequence[tuple[int, str]], splits: Mapping[int, str]) -> None:
    highest, count = numbered[-1][0], len(numbered)
    if highest >= TOTALS["all"]:
        raise FaceSRError(
            f"{numbered[-1][1]} has a number above 29999, so the numbers are not CelebA-HQ's indices (1 to 30000?): {REMEDY}"
        )
    split = next((s for s in ("train", "val", "test") if count == TOTALS[s]), "")
    if (split or word) and (_gapless(numbered, 0) or _gapless(numbered, 1)):
        which = f"which is the size of the {split} split" if split else f"in a folder named after the {word} split"
        raise FaceSRError(
            f"the images are numbered {numbered[0][0]} to {highest} without a gap, {which}: they were renumbered for each split "
            f"(g_partition.py does so), and their numbers no longer say which faces they are; {REMEDY}"
        )
    if word:
        for index, name in numbered:
            if splits[index] != word:
                raise FaceSRError(
                    f"{name} lies in a folder named after the {word} split, but index {index} is of the {splits[index]} split: renumbered, or "
                    f"another division of the faces; {REMEDY}, in a folder that names no split"
                )


def _split_word(folder: str) -> str:
    """The split a folder or shard is named after (``test_img``, ``Validation``, ``train-00000-of-00002.parquet``), or ''."""
    found = re.match(r"(?:.*[^a-z])?(train|val|test)(?:ing|id|idation)?(?![a-z])", folder.lower().replace("_", "-"))
    return found[1] if found else ""
