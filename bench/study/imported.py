"""What a study of ours keeps in its database and an imported one in files: its plan, and who is left out of the analysis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from facesr.bench.config import BadValue, Natural, Text, from_table
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.imaging import write_whole
from facesr.bench.ratings.columns import COLUMNS
from facesr.bench.reading import open_parquet, read_json
from facesr.bench.study.design import unchanged
from facesr.bench.study.plan import AnalysisPlan, read_frozen, read_plan
from facesr.bench.study.rules import violations

if TYPE_CHECKING:
    import pandas as pd

EXCLUSIONS = "exclusions.json"
WIDEST = 1_000_000
"""Grades beyond this are no grades."""
ALPHA = 0.05
"""Level of imported ratings whose plan names none: that of most papers."""


@dataclass(frozen=True)
class Description:
    """What ``study.json`` says of imported ratings; the first layout had neither ``unused`` nor a plan. ``reference``: see ``Study``."""

    format: int
    kind: Literal["import"]
    name: Text
    scale: tuple[int, int]
    method: Literal["acr", "pair"] = "acr"
    source: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, Natural] = field(default_factory=dict)
    unused: dict[str, Natural] = field(default_factory=dict)
    analysis: dict[str, Any] = field(default_factory=dict)
    declared: list[str] = field(default_factory=list)
    reference: Text | None = None
    imported: str = ""

    def __post_init__(self) -> None:
        low, high = self.scale
        if not -WIDEST <= low < high <= WIDEST:
            raise BadValue(f"scale {[low, high]} is no lowest and highest grade")
        if self.reference and self.method == "pair":
            raise BadValue("pairs have no grades to take differences of, and no reference")


def described(info: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """A sound and unchanged description; raises ``FaceSRError`` of what is wrong."""
    from_table(Description, unchanged(info, file), f"{file} is damaged")
    return dict(info)


def declared_plan(given: Mapping[str, Any], method: str, scale: tuple[int, int], source: str) -> dict[str, Any]:
    """The plan to keep: the entries given, the usual level, a margin of 2.5 % of the scale (.1 of 1 to 5), nobody left out by a rule.

    Raises ``FaceSRError`` listing every entry that is wrong.
    """
    margin = {} if method == "pair" else {"equivalence_margin": 0.025 * (scale[1] - scale[0])}
    plan = read_plan({"alpha": ALPHA, **margin, "exclude_raters": {"attention_wrong": None}, **given}, source, method=method)
    return asdict(_fitting(plan, method, scale, source))


def _fitting(plan: AnalysisPlan, method: str, scale: tuple[int, int], source: str) -> AnalysisPlan:
    counts = {"attention": 1, "gold": 1, "repeats": 1}
    if plan.stopping.kind != "fixed":
        raise FaceSRError(f"{source}: stopping.kind = {plan.stopping.kind!r}, but imported ratings are all in: leave stopping out")
    if problems := plan.problems(method, scale, 0, counts):
        raise FaceSRError(f"{source}: {'; '.join(problems)}")
    return plan


def plan(info: Mapping[str, Any], file: Path) -> AnalysisPlan:
    """The plan of an imported study; those of the first layout have none, and get what ``declared_plan`` gives."""
    method, (low, high) = str(info.get("method", "acr")), info["scale"]
    kept = info.get("analysis") or declared_plan({}, method, (int(low), int(high)), str(file))
    return _fitting(read_frozen(kept, str(file), method), method, (int(low), int(high)), str(file))


def imported_ratings(folder: Path) -> pd.DataFrame:
    """Every rating, with the columns of ``COLUMNS``."""
    with open_parquet(folder / "ratings.parquet") as file:
        try:
            table: pd.DataFrame = file.read().to_pandas()
        except ValueError as error:  # what pandas noted beside the columns is damaged
            raise FaceSRError(f"{folder / 'ratings.parquet'} cannot be read ({error}): import the ratings again") from None
    return table.reindex(columns=list(COLUMNS))


def imported_exclusions(folder: Path) -> dict[str, dict[str, str]]:
    """Raters left out by hand: rule and reason."""
    file = folder / EXCLUSIONS
    if not file.exists():
        return {}
    return {str(r): {str(k): str(v) for k, v in rules.items()} for r, rules in read_json(file).items() if isinstance(rules, dict)}


def excluded(folder: Path, rules: AnalysisPlan, table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Raters left out, by hand or by the plan's rules about answers; what only a server knows (pace, devices) cannot be judged here."""
    found = imported_exclusions(folder)
    people = (
        table[["rater", "simulated"]].drop_duplicates("rater").rename(columns={"rater": "name"}).assign(status="done", device="")
    )
    for name, broken in violations(rules.exclude_raters, table, people).items():
        found[name] = {**broken, **found.get(name, {})}
    return found


def exclude_imported(folder: Path, rater: str, rule: str, reason: str) -> None:
    """Leave a rater out; the ratings stay."""
    known = [str(r) for r in imported_ratings(folder)["rater"].unique()]
    if rater not in known:
        raise FaceSRError(f"no rater {rater!r} in {folder}: {suggest(rater, known)}")
    made = imported_exclusions(folder)
    made.setdefault(rater, {})[rule] = reason
    write_whole(folder / EXCLUSIONS, json.dumps(made, indent=1, ensure_ascii=False) + "\n")


def undo_exclusion(folder: Path, rater: str) -> str:
    """Take back the last exclusion by hand of a rater; returns its rule."""
    made = imported_exclusions(folder)
    if not made.get(rater):
        raise FaceSRError(f"there is nothing to undo about {rater!r}: nobody excluded that rater by hand")
    rule = list(made[rater])[-1]
    del made[rater][rule]
    write_whole(folder / EXCLUSIONS, json.dumps({k: v for k, v in made.items() if v}, indent=1, ensure_ascii=False) + "\n")
    return rule
