"""What every hostile test shares: seeded mutations, the limits, and the counts that are printed at the end.

``FACESR_HOSTILE=20`` tries twenty times as many. Every input ends well: in a right result or one sentence, within ``SECONDS`` and ``BYTES``.
"""

from __future__ import annotations

import json
import os
import random
import re
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError

TIMES = int(os.environ.get("FACESR_HOSTILE", "1"))
SECONDS, BYTES = 20.0, 2 << 30
COUNTS: dict[str, tuple[int, int]] = {}
"""Tried and ended well, by kind; printed by ``conftest``."""

Read = Callable[[Path], Any]
Right = Callable[[Any], bool]


@dataclass
class Outcome:
    """What became of a kind: how many were read, refused with a sentence, and what fell (which input, and how)."""

    kind: str
    read: int = 0
    refused: int = 0
    fell: list[str] = field(default_factory=list)
    peak: int = 0

    @property
    def tried(self) -> int:
        """All of them."""
        return self.read + self.refused + len(self.fell)

    def one(self, name: str, act: Callable[[], Any], right: Right = lambda result: True) -> None:
        """Do it and judge: no other exception than one sentence, a right result, in time."""
        began = time.process_time()
        try:
            good = right(act())
        except FaceSRError as error:
            listed = str(error).splitlines()
            # one sentence; a configuration's problems are one a line
            wrong = "" if len(listed) == 1 or all(line.startswith("  - ") for line in listed[1:-1]) else f"not a sentence: {error}"
            self.refused += not wrong
        except BaseException as error:  # noqa: BLE001 - anything but one sentence is a fall
            wrong = f"{type(error).__name__}: {error}"[:300]
        else:
            wrong = "" if good else "a wrong result, and no word of it"
            self.read += good
        if not wrong and (spent := time.process_time() - began) > SECONDS:
            wrong = f"{spent:.0f} s"
        if wrong:
            self.fell.append(f"{name}: {wrong}")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four of: a bit changed, numbers made enormous or negative, a piece cut, doubled or made random, the end gone."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        # the beginning of a file says what the rest is: half of all harm goes there
        at = rng.randrange(min(len(out), 600)) if rng.random() < 0.5 else rng.randrange(len(out))
        how = rng.randrange(6)
        if how == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            out[at : at + 8] = struct.pack("<q", rng.choice((-1, 0, 1 << 31, 1 << 40, (1 << 63) - 1)))
        elif how == 2:
            del out[at : at + rng.randint(1, 64)]
        elif how == 3:
            out[at:at] = out[at : at + rng.randint(1, 64)]
        elif how == 4:
            out[at : at + 4] = rng.randbytes(4)
        else:
            del out[max(at, 1) :]
        if not out:
            out = bytearray(b"\0")
    return bytes(out)


NASTY: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, "", "*", "..", "../../evil", "/etc/passwd", "a\0b", "\x1b[2J", "x\ny", "\udcff",
    "n" * 300, [], {}, [[]], [None] * 3, {"": 1}, "<script>alert(1)</script>", "=1+1", "\\input{/etc/passwd}", "1/0", "cuda", "nan",
)  # fmt: skip
"""Values that some place of a description should not have."""


def changed(plain: Any, rng: random.Random) -> Any:
    """A copy of plain data with one to three places made nasty, dropped, doubled or renamed."""
    whole = json.loads(json.dumps(plain))
    for _ in range(rng.randint(1, 3)):
        place: Any = whole
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
                place = place[key]
                continue
            how = rng.randrange(6)
            if how < 4:
                place[key] = rng.choice(NASTY)
            elif how == 4:
                del place[key]
            elif isinstance(place, dict):
                place[str(rng.choice(("x", "", "\x1b", "../x")))] = place.pop(key)
            else:
                place.append(place[key])
            break
    return whole


def peak() -> int:
    """The most memory that this process held since ``reset_peak``, in bytes; 0 where nobody counts it. Not ru_maxrss: that is inherited."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else 0


def reset_peak() -> None:
    """Forget the most that was held (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def damage(kind: str, data: bytes, read: Read, place: Path, tries: int, right: Right = lambda result: True) -> Outcome:
    """Seeded mutations of a file's bytes, each written to ``place`` and read. Runs in a process of its own (``fresh``)."""
    reset_peak()
    outcome = Outcome(kind)
    for seed in range(tries * TIMES):
        place.write_bytes(mutated(data, random.Random(f"{kind}/{seed}")))
        outcome.one(f"seed {seed}", lambda: read(place), right)
    outcome.peak = peak()
    return outcome


def check(outcome: Outcome) -> None:
    """Note the counts and fail where something fell."""
    tried, well = COUNTS.get(outcome.kind, (0, 0))
    COUNTS[outcome.kind] = (tried + outcome.tried, well + outcome.tried - len(outcome.fell))
    assert not outcome.fell, f"{outcome.kind}: {len(outcome.fell)} of {outcome.tried} fell, such as {outcome.fell[:5]}"
    assert outcome.peak < BYTES, f"{outcome.kind}: {outcome.peak >> 20} MiB"


def table(counts: Mapping[str, tuple[int, int]]) -> list[str]:
    """Kind, tried, ended well."""
    return [f"{kind:<28} {tried:>7,} {well:>7,}" for kind, (tried, well) in sorted(counts.items())]
