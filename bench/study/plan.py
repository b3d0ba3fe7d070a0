"""The analysis plan: what decides, at which level, who is left out and when collection ends. Every entry of it acts.

``create`` reads it, fills in the defaults and freezes it in ``study.json``; analyses, tables and reports take their settings from ``Study.plan``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval

from facesr.bench.config import BadValue, Count, OneOf, Probability, Share, from_table
from facesr.bench.stats.screening import RULES

PRIMARY = ("two-way-clustered", "bradley-terry")
CORRECTIONS = ("holm", "bonferroni", "bh", "none")
Seconds = Annotated[float, Interval(ge=0, le=60)]


def _screenings() -> list[str]:
    return [*RULES, "vqeg-multimedia"]


@dataclass(frozen=True)
class ExcludeRaters:
    """Rules that leave a rater out, carried out by the program when the rater has finished; ``None`` and ``False`` are rules not declared.

    ``attention_wrong``, ``gold_wrong``: more than this share of those items wrong. ``same_grade``: more than this share of the rated images
    got one and the same grade. ``pace_seconds``: less time an image than this, by the server's clock. ``repeats_apart``: first and repeated
    grade differ by more than this on average. ``unseen``: more than this share of the rated images were never fetched from the server.
    ``same_device``: another person's place was taken from the same browser before.
    """

    attention_wrong: Share | None = 0.5
    gold_wrong: Share | None = None
    same_grade: Share | None = None
    pace_seconds: Seconds | None = None
    repeats_apart: Annotated[float, Ge(0)] | None = None
    unseen: Share | None = None
    same_device: bool = False

    @property
    def declared(self) -> dict[str, Any]:
        """The rules that are in force."""
        return {name: value for name, value in asdict(self).items() if value is not None and value is not False}


@dataclass(frozen=True)
class Stopping:
    """When means may be looked at. ``fixed``: once, at the end. ``group-sequential``: after each number of finished raters in ``looks``, with
    the level spent as ``spending`` says. ``always-valid``: any time from the first of ``looks`` on (default 8 raters), at a level that holds
    however often one looks. ``end``: collection ends, by the program, at the first look where all pairs are decided, or any one is.
    """

    kind: Literal["fixed", "group-sequential", "always-valid"] = "fixed"
    looks: tuple[Count, ...] = ()
    spending: Literal["obrien-fleming", "pocock"] = "obrien-fleming"
    end: Literal["all", "any"] = "all"

    def __post_init__(self) -> None:
        if self.kind == "fixed" and self.looks:
            raise BadValue("looks need kind = 'group-sequential' or 'always-valid': a fixed plan looks once, at the end")
        if self.kind == "group-sequential" and (not self.looks or list(self.looks) != sorted(set(self.looks))):
            raise BadValue(f"looks = {list(self.looks)} must be growing numbers of finished raters, such as [20, 30, 40]")
        if self.kind == "always-valid" and len(self.looks) > 1:
            raise BadValue("an always-valid rule looks whenever one likes: give looks = [N] for the first look only, or none")
        if self.looks and self.looks[0] < 3:
            raise BadValue(f"a look at {self.looks[0]} raters tests nothing: begin at 3 or more")


@dataclass(frozen=True)
class AnalysisPlan:
    """The frozen analysis plan.

    ``primary``: the test that decides every pair (others are printed beside it and decide nothing), at family-wise level ``alpha`` with
    ``correction`` over all pairs. ``screening``: the rule by which scores reject raters, reported beside the table of all raters.
    ``equivalence_margin``: half width, in grades, within which two conditions count as equal (TOST); 0 for no equivalence test.
    """

    primary: Literal["two-way-clustered", "bradley-terry"] = "two-way-clustered"
    alpha: Probability = 0.01
    correction: Literal["holm", "bonferroni", "bh", "none"] = "holm"
    screening: Annotated[str, OneOf(_screenings)] = "none"
    equivalence_margin: Annotated[float, Interval(ge=0, le=9)] = 0.1
    exclude_raters: ExcludeRaters = field(default_factory=ExcludeRaters)
    stopping: Stopping = field(default_factory=Stopping)

    @property
    def corrected_by(self) -> str:
        """``correction`` by the name that ``facesr.bench.stats`` gives it."""
        return "benjamini-hochberg" if self.correction == "bh" else self.correction

    def problems(
        self, method: str, scale: tuple[int, int], raters: int, counts: Mapping[str, int], *, adaptive: bool = False
    ) -> list[str]:
        """What does not fit the rest of the design, one sentence each. ``counts``: numbers of attention, gold and repeat items a rater has."""
        found = []
        if (method == "pair") != (self.primary == "bradley-terry"):
            known = "'bradley-terry'" if method == "pair" else ", ".join(map(repr, PRIMARY[:-1]))
            found.append(f"primary = {self.primary!r} does not fit the method {method!r}: choose {known}")
        if adaptive and self.stopping.kind != "always-valid":
            found.append(
                f"stopping.kind = {self.stopping.kind!r} does not hold its level for adaptive pairs, which stop asking about what looks settled: "
                "use 'always-valid'"
            )
        if method == "pair":
            for entry, off in {"screening": "none", "equivalence_margin": 0.0}.items():
                if getattr(self, entry) != off:
                    found.append(f"{entry} = {getattr(self, entry)!r} has no meaning for pairs, which have no grades: leave it out")
            if self.correction != "holm":
                found.append(
                    f"correction = {self.correction!r} would not act: Bradley-Terry's tests are corrected by Holm; leave it out"
                )
        elif self.equivalence_margin >= scale[1] - scale[0]:
            found.append(f"equivalence_margin = {self.equivalence_margin:g} is as wide as the scale {scale[0]} to {scale[1]}")
        needs = {"gold_wrong": "gold", "repeats_apart": "repeats"}
        for rule, items in needs.items():
            if getattr(self.exclude_raters, rule) is not None and not counts[items]:
                found.append(f"exclude_raters.{rule} needs {items} items, and the design has none: --{items} N adds some")
        if self.stopping.looks and self.stopping.looks[-1] > raters:
            found.append(f"the last look, at {self.stopping.looks[-1]} raters, lies beyond the {raters} raters of the design")
        if self.stopping.kind == "group-sequential" and self.stopping.looks and self.stopping.looks[-1] != raters:
            found.append(f"the last look, at {self.stopping.looks[-1]} raters, must be at all {raters} raters of the design")
        return found


def default_plan(method: str, join: str, *, adaptive: bool = False) -> dict[str, Any]:
    """What holds where the user's plan says nothing: crowds get rules against bots and against one person in several places.

    Adaptive pairs get a level that holds however they were chosen: a pair that looks settled is left at that, which is a look at the data.
    """
    plan: dict[str, Any] = {"primary": "bradley-terry", "equivalence_margin": 0.0} if method == "pair" else {}
    if join != "invited":
        plan["exclude_raters"] = {"unseen": 0.1, "pace_seconds": 0.3, "same_device": True}
    if adaptive:
        plan["stopping"] = {"kind": "always-valid"}
    return plan


def read_plan(
    given: Mapping[str, Any], source: str, *, method: str = "acr", join: str = "invited", adaptive: bool = False
) -> AnalysisPlan:
    """The plan of a table, its defaults filled in; one error that lists every entry that is wrong."""
    merged: dict[str, Any] = {**default_plan(method, join, adaptive=adaptive)}
    for name, value in given.items():
        inner = merged.get(name)
        merged[name] = {**inner, **value} if isinstance(inner, dict) and isinstance(value, Mapping) else value
    return from_table(AnalysisPlan, merged, source)


LEGACY: dict[str, dict[str, Any]] = {
    "primary": {"two-way clustered t-test of MOS differences, over raters and faces": "two-way-clustered"},
    "exclude_raters": {"more than half of the attention items wrong": {"attention_wrong": 0.5}},
}
"""Entries that studies of the first layout froze as sentences; what they say is carried out. Other sentences are refused."""


def read_frozen(frozen: Mapping[str, Any], source: str, method: str) -> AnalysisPlan:
    """The plan of a ``study.json``, sentences of the first layout included."""
    table = {k: v for k, v in frozen.items() if k != "also"}
    for name, meanings in LEGACY.items():
        if isinstance(table.get(name), str):
            table[name] = meanings.get(table[name], table[name])
    if method == "pair" and "stopping" not in table:  # the first layout had one default for all methods
        table |= {"primary": "bradley-terry", "equivalence_margin": 0.0}
    return from_table(AnalysisPlan, table, source)
