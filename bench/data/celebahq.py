"""CelebA-HQ and its standard split: CelebA's official partition carried over by the mapping file.

The project ships the rule, not the list: the mapping (``CelebA-HQ-to-CelebA-mapping.txt``, part of CelebAMask-HQ) is the user's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from facesr.bench.errors import FaceSRError

TRAIN_END, VAL_END = 162_770, 182_637
"""Last CelebA file numbers of the official train and val partitions (list_eval_partition.txt); the rest is test."""
TOTALS = {"train": 24_183, "val": 2_993, "test": 2_824, "all": 30_000}
MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"


def partition(celeba_number: int) -> str:
    """Partition of a CelebA file number (``182638.jpg`` is 182638)."""
    return "train" if celeba_number <= TRAIN_END else "val" if celeba_number <= VAL_END else "test"


def read_mapping(path: Path) -> dict[int, str]:
    """Split of every CelebA-HQ index from the mapping file: rows of index, original index, original file; a header is allowed."""
    splits: dict[int, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise FaceSRError(f"{path}: cannot be read ({error.strerror})") from None
    for line in lines:
        found = re.fullmatch(r"\s*(\d+)\s+(\d+)\s+(\d+)\.\w+\s*", line)
        if found:
            splits[int(found[1])] = partition(int(found[3]))
    if len(splits) != TOTALS["all"]:
        raise FaceSRError(
            f"{path}: {len(splits)} of 30,000 rows 'index original_index original_file' found; is it CelebA-HQ's mapping file?"
        )
    return splits


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


def refuse_renumbered(stems: Iterable[str], folders: Iterable[str]) -> None:
    """Refuse folders whose files were numbered anew for each split, as CelebAMask-HQ's g_partition.py does: their numbers name other faces.

    Signs: numbers run without a gap from 0 to exactly one split's count, or images lie in folders named train_img, val_img, test_img.
    """
    numbers = sorted(n for n in (index_of(s) for s in stems) if n is not None)
    contiguous = numbers == list(range(len(numbers)))
    for split in ("train", "val", "test"):
        if contiguous and len(numbers) == TOTALS[split]:
            raise FaceSRError(
                f"the images are numbered 0 to {len(numbers) - 1} without a gap, which is the size of the {split} split: they were renumbered "
                "(g_partition.py does so), and their numbers no longer say which faces they are; use the folder with the original numbers 0 to 29999"
            )
    named = {f for f in folders if re.fullmatch(r"(train|val|test)(_img)?", f)}
    if named and contiguous:
        raise FaceSRError(
            f"the images lie in {', '.join(sorted(named))} and are numbered from 0 without a gap: they were renumbered for each split, and their "
            "numbers no longer say which faces they are; use the folder with the original numbers 0 to 29999"
        )
