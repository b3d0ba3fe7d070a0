"""What figures, the page and the dashboard show, as data frames. Statistics come from ``facesr.bench.stats``; tables are in ``tables``.

Start with ``scores = facesr.reports.scores.open_runs([folder])``; narrow with ``scores.only(...)`` or ``where(scores, gender="female")``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.results.status import Status
from facesr.bench.stats.pairwise import PairComparison, compare_methods
from facesr.reports.cells import Cell
from facesr.reports.scores import Scores

if TYPE_CHECKING:
    import pandas as pd

LEVELS = 6
"""More distinct numbers than this (ages) are shown in bands of a third of the faces each."""


def face_table(scores: Scores, metric: str, scale: float | None = None) -> pd.DataFrame:
    """Faces x methods by one metric, and beside them: ``disagreement`` (standard deviation between methods), ``failed``, ``best``.

    ``disagreement`` is NaN where fewer than two methods have a value; ``best`` is the method that scored best, '' where none did.
    """
    values = scores.values(metric, scale)
    sign = 1 if scores.column(metric).higher_is_better else -1
    table = values.copy()
    table["disagreement"] = values.std(axis=1, ddof=1)
    table["failed"] = (scores.statuses(metric, scale) != Status.OK).sum(axis=1)
    known = values.notna().any(axis=1)
    best = (sign * values[known]).idxmax(axis=1) if known.any() else values[known].iloc[:, 0]
    table["best"] = best.reindex(values.index).fillna("").astype(str)
    return table


def failures(scores: Scores) -> pd.DataFrame:
    """Every cell that did not end ``ok``: method, scale, metric, image, status, reason."""
    import pandas as pd

    rows = [(c.method, c.scale, c.metric, f.image, f.status, f.reason) for c in scores.cells() for f in c.failures]
    return pd.DataFrame(rows, columns=["method", "scale", "metric", "image", "status", "reason"])


@dataclass(frozen=True)
class Duel:
    """Two methods on the faces that both have a score. ``faces``: columns a, b, difference (a - b), favours ('a', 'b' or 'tie')."""

    a: str
    b: str
    metric: str
    faces: pd.DataFrame
    test: PairComparison

    @property
    def wins(self) -> int:
        """Faces on which ``a`` is the better one."""
        return int((self.faces["favours"] == "a").sum())

    @property
    def losses(self) -> int:
        """Faces on which ``b`` is the better one."""
        return int((self.faces["favours"] == "b").sum())

    @property
    def win_rate(self) -> float:
        """Share of faces on which ``a`` wins, ties counted half; NaN without faces."""
        n = len(self.faces)
        return (self.wins + (n - self.wins - self.losses) / 2) / n if n else float("nan")


def duel(scores: Scores, a: str, b: str, metric: str, scale: float | None = None) -> Duel:
    """Compare two methods face by face: differences, wins, the paired test and the interval of the mean difference."""
    import pandas as pd

    values = scores.only(methods=[a, b]).values(metric, scale)[[a, b]].dropna()
    if a == b:
        raise FaceSRError(f"{a!r} against itself has no difference: choose two methods")
    sign = 1 if scores.column(metric).higher_is_better else -1
    test = compare_methods(values.to_numpy(), [a, b])[0]
    difference = values[a] - values[b]
    favours = np.select([sign * difference > 0, sign * difference < 0], ["a", "b"], "tie")
    faces = pd.DataFrame({"a": values[a], "b": values[b], "difference": difference, "favours": favours})
    return Duel(a, b, metric, faces, test)


def attribute_names(scores: Scores) -> list[str]:
    """Attributes that the data set knows of any face in view."""
    return list(dict.fromkeys(name for face in scores.faces for name in scores.attributes.get(face, {})))


def bands(scores: Scores, attribute: str) -> dict[str, list[str]]:
    """Faces by the value of an attribute, in order; many different numbers come in three bands; unknown ones under 'unknown'."""
    known = {f: str(scores.attributes.get(f, {}).get(attribute, "")) for f in scores.faces}
    if not any(known.values()):
        raise FaceSRError(
            f"no face here has the attribute {attribute!r}: {suggest(attribute, attribute_names(scores) or ['(none)'])}"
        )
    values = {v for v in known.values() if v}
    try:
        numbers = {v: float(v) for v in values}
    except ValueError:
        numbers = {}
    if len(numbers) > LEVELS:
        band = _bands(numbers, known.values())
        known = {f: band.get(v, "") for f, v in known.items()}
        names = sorted(set(known.values()) - {""}, key=lambda b: float(b.split("–")[0]))
    else:
        names = sorted(values, key=lambda v: (numbers.get(v, 0.0), v))
    made = {name: [f for f, v in known.items() if v == name] for name in names}
    unknown = [f for f, v in known.items() if not v]
    return {**made, **({"unknown": unknown} if unknown else {})}


def too_thin(scores: Scores, attribute: str) -> str:
    """Why a figure by this attribute would mislead: most of its values have a single face; '' where it would not."""
    groups = {value: len(faces) for value, faces in bands(scores, attribute).items() if value != "unknown"}
    single = sum(n == 1 for n in groups.values())
    if 2 * single <= len(groups):
        return ""
    return f"{attribute} is not drawn: {single} of its {len(groups)} values have a single face, whose mean has no interval."


def _bands(numbers: Mapping[str, float], everyone: Iterable[str]) -> dict[str, str]:
    """For each number the third of the faces that it falls into, named by its ends ('18–27')."""
    ages = np.array(sorted(numbers[v] for v in everyone if v))
    cuts = np.quantile(ages, (1 / 3, 2 / 3), method="lower")
    thirds = [ages[ages <= cuts[0]], ages[(ages > cuts[0]) & (ages <= cuts[1])], ages[ages > cuts[1]]]
    names = ["" if not len(t) else f"{t[0]:g}–{t[-1]:g}" if t[0] != t[-1] else f"{t[0]:g}" for t in thirds]
    return {text: names[int(np.searchsorted(cuts, number, side="left"))] for text, number in numbers.items()}


def faces_where(scores: Scores, **attributes: str) -> Scores:
    """The faces with these values of attributes (bands as ``bands`` names them)."""
    kept = set(scores.faces)
    for attribute, value in attributes.items():
        groups = bands(scores, attribute)
        if value not in groups:
            raise FaceSRError(f"no face has {attribute} {value!r}: {suggest(value, groups)}")
        kept &= set(groups[value])
    return scores.only(faces=[f for f in scores.faces if f in kept])


def attribute_frame(scores: Scores, attribute: str, metric: str, scale: float | None = None) -> pd.DataFrame:
    """One row per value of the attribute and method: value, method, n, failed, mean, low, high. Who is served worse."""
    import pandas as pd

    at = scores.scales[0] if scale is None else scale
    rows = []
    for value, faces in bands(scores, attribute).items():
        for c in scores.only(metrics=[metric], scales=[at], faces=faces).cells():
            rows.append((value, c.method, c.n, c.failed, c.mean, c.low, c.high))
    return pd.DataFrame(rows, columns=["value", "method", "n", "failed", "mean", "low", "high"])


def sweep_frame(scores: Scores, metric: str) -> pd.DataFrame:
    """A metric over the downscaling factors: method, scale, n, failed, mean, low, high."""
    import pandas as pd

    names = ["method", "scale", "n", "failed", "mean", "low", "high"]
    cells = scores.only(metrics=[metric]).cells()
    return pd.DataFrame([{name: getattr(cell, name) for name in names} for cell in cells], columns=names)


def epsilon_metric(scores: Scores) -> str | None:
    """The metric that holds ε of every face, if this run measured it."""
    return next((m for m in scores.metrics if m == "consistency"), None)


def epsilon_frame(scores: Scores, scale: float | None = None) -> pd.DataFrame:
    """ε of every face by every method: face, method, epsilon, passes. Images of searches that did not converge are in it."""
    metric = epsilon_metric(scores)
    if metric is None:
        raise FaceSRError("this run did not measure consistency: add the metric 'consistency' to its protocol")
    values = scores.values(metric, scale, kept=True)
    long = values.reset_index().melt("face", var_name="method", value_name="epsilon").dropna(ignore_index=True)
    long["passes"] = long["epsilon"] <= scores.epsilon
    return long


def kept_means(scores: Scores) -> list[Cell]:
    """Means with the images of unconverged searches counted in, for cells that leave such images out."""
    made = []
    for cell in scores.cells():
        if any(f.status == Status.NOT_CONVERGED for f in cell.failures):
            values = scores.values(cell.metric, cell.scale, kept=True)[cell.method].dropna()
            if len(values) > cell.n:
                made.append(replace(cell, mean=float(values.mean()), n=len(values), low=np.nan, high=np.nan))
    return made
