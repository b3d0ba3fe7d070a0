"""What stands out in how raters went about it: each sign is seen, by the server's clock and record, and honest people raise none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from facesr.bench.study.conduct import conduct
from facesr.bench.study.findings import check_table
from facesr.bench.study.rules import pace

N = 24


def rater(name: str, rng: np.random.Generator, **columns: Any) -> pd.DataFrame:
    """24 answers at four seconds each, four of them repeats, with everything the page and the server note."""
    scores = rng.integers(1, 6, N).astype(float)
    kinds = ["main"] * 20 + ["repeat"] * 4
    faces = [f"f{k}" for k in range(20)] + [f"f{k}" for k in range(4)]
    scores[20:] = scores[:4]
    at = [f"2026-03-29T00:{58 + 4 * k // 60:02d}:{4 * k % 60:02d}.000Z" if 58 + 4 * k // 60 < 60 else "" for k in range(N)]
    base: dict[str, Any] = {
        "rater": name, "position": range(1, N + 1), "kind": kinds, "face": faces, "condition": "psp", "other": "", "score": scores,
        "served_ms": 3000.0, "device_pixels": 2.0, "hidden_ms": 0.0, "rt_ms": 2500.0, "simulated": False, "correct": pd.NA, "at": at,
    }  # fmt: skip
    return pd.DataFrame({**base, **columns})


def people(*names: str, **devices: str) -> pd.DataFrame:
    """Finished raters, each with a browser of its own unless told otherwise."""
    return pd.DataFrame({"name": list(names), "device": [devices.get(n, f"d-{n}") for n in names]})


def said(*tables: pd.DataFrame, **devices: str) -> list[str]:
    """The notes about these raters."""
    whole = pd.concat(tables, ignore_index=True)
    return [str(f) for f in conduct(whole, people(*whole["rater"].unique(), **devices))]


CHEATS: dict[str, dict[str, Any]] = {
    "less than half a second an image, by the server's clock": {"served_ms": 300.0},
    "images that were never sent": {"served_ms": [np.nan] * N},
    "without saying how the image was shown": {"device_pixels": np.nan, "hidden_ms": np.nan},
    "in a repeating pattern": {"score": [1.0, 2.0, 3.0] * 8},
    "more than a grade and a half on repeated images": {"score": [1.0] * 4 + list(np.arange(16) % 5 + 1.0) + [5.0] * 4},
}


@pytest.mark.parametrize("sign", CHEATS)
def test_each_sign_is_seen(sign: str) -> None:
    """In the one rater who shows it, and in that one alone."""
    rng = np.random.default_rng(2)
    found = said(rater("r001", rng), rater("r002", rng, **CHEATS[sign]), rater("r003", rng))
    assert len(found) == 1, found
    assert sign in found[0]
    assert "r002" in found[0]
    assert "r001" not in found[0]


def test_copied_grades_and_one_browser_are_seen() -> None:
    """The same 24 grades at the same positions; two raters of one browser."""
    rng = np.random.default_rng(2)
    first = rater("r001", rng)
    assert said(first, rater("r002", rng, score=first["score"]))[0].endswith("r002 and r001")
    assert "r001 and r002" in said(first, rater("r002", rng), r001="d", r002="d")[0]


def test_honest_raters_raise_nothing() -> None:
    """200 of them, each with an own mean, some of whom lost the line: nothing stands out."""
    rng = np.random.default_rng(3)
    tables = [rater(f"r{k:03d}", rng) for k in range(198)]
    tables += [
        rater("r198", rng, at=["2026-03-29T02:00:00.000Z"] * N, served_ms=np.arange(N, 0, -1) * 4000.0)
    ]  # all sent when it was back
    tables += [rater("r199", rng, rt_ms=1.0, served_ms=2500.0)]  # a browser whose clock is wrong: the server's counts
    assert said(*tables) == []
    assert pace(tables[-1])["r199"] == pytest.approx(2.5)
    whole = pd.concat(tables, ignore_index=True)
    assert [f for f in check_table(whole.assign(at=""), (1, 5), designed=True) if f.kind == "impossible"] == []
    table = tables[0].assign(served_ms=np.nan, rt_ms=100.0, at="")  # nothing else to go by
    assert [f.count for f in check_table(table, (1, 5), designed=True) if "below 150 ms" in f.what] == [N]


def test_zones_and_summer_time_are_no_fault() -> None:
    """Answers across the hour that summer time takes away or gives back, with a zone, in UTC, and by a clock on a wall; a clock that runs
    back on another day is one."""
    rng = np.random.default_rng(4)

    def back(at: list[str]) -> list[str]:
        table = rater("r001", rng).head(len(at)).assign(at=at)
        return [f.what for f in check_table(table, (1, 5), designed=True) if "before the one at the position before" in f.what]

    assert back(["2026-10-25T02:59:58+02:00", "2026-10-25T02:00:02+01:00", "2026-10-25T02:00:06+01:00"]) == []
    assert back(["2026-10-25T00:59:58Z", "2026-10-25T01:00:02Z"]) == []
    assert back(["2026-10-25T02:59:58", "2026-10-25T02:00:02", "2026-10-25T02:00:06"]) == []  # Sunday, an hour back
    assert back(["2026-03-29T01:59:58", "2026-03-29T03:00:02"]) == []
    assert back(["2026-11-01T01:59:58-04:00", "2026-11-01T01:00:02-05:00"]) == []
    assert (
        back(["2026-03-29T09:00:00+09:00", "2026-03-29T02:00:05+02:00"]) == []
    )  # a traveller's laptop: the same moment in another zone
    assert len(back(["2026-10-28T02:59:58", "2026-10-28T02:00:02"])) == 1  # a Wednesday
    assert len(back(["2026-10-25T02:59:58Z", "2026-10-25T02:00:02Z"])) == 1  # UTC knows no summer time
