"""One object that holds everything a study's ratings say; every table, page and file is printed from it, and nothing beside it.

``as_dict`` is its documented form (docs/analysis-schema.md), version ``SCHEMA``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.numbers import fixed, p_words
from facesr.bench.ratings.times import moments, sittings
from facesr.bench.stats.analysis import MosAnalysis, analyse_mos
from facesr.bench.stats.paired_comparison import BradleyTerry, bradley_terry
from facesr.bench.stats.pairwise import letters_refused
from facesr.bench.study import ending
from facesr.bench.study.carried import Entry, carried_out, plan_entries
from facesr.bench.study.pairs import preference_counts, sides
from facesr.bench.study.study import Study, load_study

if TYPE_CHECKING:
    import pandas as pd

    from facesr.bench.stats.mos import ConditionMos


SCHEMA = "facesr.analysis/1"
HR = "hr"
TOLD = frozenset({
    "cube", "conditions", "dmos", "bias_removed", "recovered", "recovered_mos", "pairs", "alpha", "icc", "sos", "intra", "screened", "guards",
    "letters", "order", "order_refused",
})  # fmt: skip
"""Fields of ``MosAnalysis`` that ``as_dict`` has under names of its own; every other appears under its own name."""


@dataclass(frozen=True)
class Result:
    """What every analysed study has, read once: nothing of it asks the study's database again.

    ``left_out``: raters left out before the analysis, with the reasons. ``label``: what must stand over all of it ('SIMULATED RATERS ...', or
    that the stopping rule was not met), '' where there is nothing to say. ``alpha``: the level at which the plan decides now. ``plan``:
    planned, done and deviation, entry by entry; empty where no plan was declared. ``citation``: digest, and the closing's sha256.
    """

    study: Study
    left_out: dict[str, str]
    label: str
    alpha: float
    citation: str
    plan: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """The study's name."""
        return self.study.name

    @property
    def excluded(self) -> int:
        """How many raters were left out before the analysis."""
        return len(self.left_out)

    @property
    def unused(self) -> dict[str, int]:
        """Cells of an imported file that are not used: how many for each reason."""
        return {str(k): int(v) for k, v in self.study.info.get("unused", {}).items()} if self.study.imported else {}

    @property
    def data_words(self) -> tuple[str, ...]:
        """What the analysis does not use, and how an imported file was understood: a sentence each."""
        lines = [f"{rater} is left out: {why}." for rater, why in self.left_out.items()]
        if self.unused:
            told = "; ".join(f"{n:,} {reason}" for reason, n in self.unused.items())
            lines.append(
                f"Not used: {sum(self.unused.values()):,} cells of the source ({told}); unused.csv lists each with row, column and reason."
            )
        return (*lines, *(f"Import: {note}." for note in self.study.info.get("notes", []) if self.study.imported))

    def _about(self) -> dict[str, Any]:
        study = self.study
        facts = {
            "name": study.name,
            "digest": study.digest,
            "method": study.method,
            "scale": list(study.scale),
            "imported": study.imported,
        }
        data = {
            "left_out": self.left_out,
            "unused": self.unused,
            "source": study.info.get("source"),
            "notes": study.info.get("notes", []),
        }
        return {
            "schema": SCHEMA,
            "study": {**facts, "citation": self.citation},
            "label": self.label,
            "alpha": self.alpha,
            "data": data,
        }


@dataclass(frozen=True)
class Analysis(Result):
    """A rating study analysed: MOS, pairs, agreement, screening, guards."""

    analysis: MosAnalysis

    @property
    def conditions(self) -> tuple[ConditionMos, ...]:
        """MOS of the conditions, HR first as the paper prints it."""
        return tuple(sorted(self.analysis.conditions, key=lambda m: m.condition.lower() != HR))

    @property
    def pairs(self) -> tuple[Any, ...]:
        """All pairs of conditions (``stats.pairwise.PairComparison``)."""
        return self.analysis.pairs

    @property
    def letters(self) -> dict[str, str]:
        """Letters of conditions that cannot be told apart, by the one decision per pair; '' where ``letters_refused`` says why."""
        return self.analysis.letters

    @property
    def letters_refused(self) -> str:
        """Why there are no letters; '' where there are."""
        return letters_refused(self.analysis.pairs)

    @property
    def words(self) -> tuple[str, ...]:
        """Agreement between and within raters, the spread of ratings, the omnibus test: a sentence each."""
        found = self.analysis
        alpha, icc = found.alpha, found.icc
        lines = [
            f"Agreement of {alpha.raters} rater{'s' * (alpha.raters != 1)} on {alpha.units} images: Krippendorff's α (ordinal) "
            f"{fixed(alpha.value, 2)} [{fixed(alpha.low, 2)}, {fixed(alpha.high, 2)}]; "
            f"ICC of one rater {fixed(icc.single, 2)}, of the mean of all {fixed(icc.average, 2)} "
            f"({icc.raters} raters, {icc.units} images).",
            f"SOS parameter a = {fixed(found.sos.a, 2)} (typical of images: .1 to .25).",
        ]
        if found.intra is not None:
            lines.append(
                f"Raters against themselves, {found.intra.pairs:,} repeats: {found.intra.exact:.0%} equal, {found.intra.within_one:.0%} within one "
                f"grade, r = {fixed(found.intra.r, 2)}, weighted κ = {fixed(found.intra.kappa, 2)}."
            )
        if found.omnibus is not None:
            lines.append(
                f"Friedman's test over rater means: χ² = {found.omnibus.chi2:.1f}, {p_words(found.omnibus.p)} ({found.omnibus.blocks} raters)."
            )
        spread = ", ".join(f"{name.replace('_', ' x ')} {fixed(sd, 2)}" for name, sd in vars(found.components).items())
        whole = len(found.components.unknown) < len(vars(found.components))
        what = "What makes ratings differ beside the conditions"
        lines.append(
            f"{what}, as standard deviations: {spread}."
            if whole
            else f"{what} cannot be told from so few raters, faces or conditions."
        )
        return (*lines, found.size) if found.size else tuple(lines)

    @property
    def order_words(self) -> str:
        """What was found of order, fatigue, session and the rating before; or why that cannot be analysed. A sentence."""
        if why := self.analysis.order_refused:
            return f"Effects of order, fatigue, session and the rating before cannot be analysed: {why}."
        found = [e.kind.replace("_", " ") for e in self.analysis.order if e.p_holm < self.alpha]
        said = f"found of {', '.join(found)}" if found else "not found, which does not show that there is none"
        return f"An effect of when a rating was given is {said} (after Holm)."

    @property
    def sentences(self) -> tuple[str, ...]:
        """All prose: agreement, guards, what was left out."""
        return (*self.words, self.order_words, *(str(g) for g in self.analysis.guards), *self.data_words)

    def as_dict(self) -> dict[str, Any]:
        """The whole analysis as plain data: numbers, texts, lists and tables; None where a number is not known."""
        found, letters = self.analysis, self.letters
        screening = found.screened.screening
        known = {
            "conditions": [{**plain_value(m), "letters": letters.get(m.condition, "")} for m in self.conditions],
            "dmos": {"reference": self.study.reference, "conditions": plain_value(found.dmos)} if found.dmos else None,
            "bias_removed": {m.condition: plain_value(m.mean) for m in found.bias_removed},
            "recovered": plain_value(found.recovered_mos),
            "pairs": plain_value(found.pairs),
            "agreement": {
                "krippendorff_alpha": plain_value(found.alpha), "icc": plain_value(found.icc),
                "sos": plain_value(found.sos), "intra_rater": plain_value(found.intra),
            },
            "screening": {
                "rule": screening.rule, "rejected": dict(zip(found.screened.rejected, screening.reasons, strict=False)),
                "conditions": plain_value(found.screened.conditions), "pairs": plain_value(found.screened.pairs) if found.screened.rejected else [],
            },
            "guards": plain_value(found.guards),
            "order": {"refused": found.order_refused, "effects": {e.kind: plain_value(e) for e in found.order}},
        }  # fmt: skip
        rest = {f.name: plain_value(getattr(found, f.name)) for f in fields(found) if f.name not in TOLD}
        about = self._about()
        cube = found.cube
        about["data"] |= {
            "ratings": found.ratings,
            "raters": len(cube.raters),
            "faces": len(cube.faces),
            "conditions": list(cube.conditions),
        }
        return {**about, "plan": plain_value(self.plan), **known, **rest, "sentences": list(self.sentences)}


@dataclass(frozen=True)
class PairedAnalysis(Result):
    """A paired comparison: Bradley-Terry scores and every pair. ``raters``: how many took part; ``sides``: a leaning to left or right, said."""

    scores: BradleyTerry
    raters: int
    sides: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """All prose."""
        undefined = [f"Errors and tests are undefined: {self.scores.undefined}."] if self.scores.undefined else []
        return (
            f"{self.raters} raters, {self.scores.comparisons:,} comparisons; a tie counts half to each.",
            *undefined,
            *([self.sides] if self.sides else []),
            *self.data_words,
        )

    def as_dict(self) -> dict[str, Any]:
        """The whole analysis as plain data; None where a number is not known."""
        found, names = self.scores, self.scores.names
        conditions = [
            {
                "condition": n,
                "score": plain_value(found.scores[i]),
                "low": plain_value(found.low[i]),
                "high": plain_value(found.high[i]),
            }
            for i, n in enumerate(names)
        ]
        pairs = [
            {
                "a": a,
                "b": b,
                "difference": plain_value(found.scores[i] - found.scores[j]),
                "p_holm": plain_value(found.p[i, j]),
                "chosen": found.probability(a, b),
            }
            for i, a in enumerate(names)
            for j, b in enumerate(names)
            if i < j
        ]
        more = {
            f.name: plain_value(getattr(found, f.name))
            for f in fields(found)
            if f.name not in {"names", "scores", "low", "high", "p"}
        }
        about = {**self._about(), "plan": plain_value(self.plan)}
        about["data"] |= {"comparisons": found.comparisons, "raters": self.raters, "conditions": list(names)}
        return {**about, "conditions": conditions, "pairs": pairs, "model": more, "sentences": list(self.sentences)}


def _plan(study: Study, done: Mapping[str, Any], left_out: Mapping[str, str], *, simulated: bool) -> tuple[Entry, ...]:
    """The plan carried out; of imported ratings, whose plan came after them, which entries were declared at all."""
    if not study.imported:
        return tuple(carried_out(study, done, simulated=simulated))
    if not study.analysis:
        return ()
    declared = set(study.info["declared"])
    used = {k: f"{v:g}" if isinstance(v, float) else str(v) for k, v in done.items()}
    used["equivalence_margin"] = used["equivalence_margin"] if done["equivalence_margin"] else "none"
    rules = ", ".join(study.plan.exclude_raters.declared) or "none"
    rows = [*plan_entries(study.plan).items(), ("exclude_raters", rules)]
    used["exclude_raters"] = f"{rules}; {len(left_out)} left out"
    late = {k: "declared after the ratings" if k in declared else "not declared: the usual value" for k, _ in rows}
    differs = {k: "" if k == "exclude_raters" or used[k] == planned else "not as planned; " for k, planned in rows}
    return tuple(Entry(k.replace("_", " "), planned, used[k], differs[k] + late[k]) for k, planned in rows)


def plain_value(value: Any) -> Any:
    """Dataclasses, arrays and tuples as tables, lists and numbers that JSON knows; NaN and infinities as None. Properties count too."""
    if is_dataclass(value) and not isinstance(value, type):
        told = {f.name: plain_value(getattr(value, f.name)) for f in fields(value) if f.repr}
        shown = {k: plain_value(getattr(value, k)) for k, v in vars(type(value)).items() if isinstance(v, property)}
        return {**told, **{k: v for k, v in shown.items() if isinstance(v, bool | str | float | int | None)}}
    if isinstance(value, Mapping):
        return {str(k): plain_value(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain_value(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_value(v) for v in value]
    if isinstance(value, np.generic):
        return plain_value(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def allow(study: Study, *, peek: bool, simulated: bool) -> str:
    """Whether means may be shown; returns the label they must carry. Refuses before the stopping rule unless ``peek``, which is logged."""
    if simulated:
        return "SIMULATED RATERS: no person gave these ratings"
    if study.may_show_means():
        return ""
    if not peek:
        finished, needed = study.finished(), study.design.raters_to_finish
        raise FaceSRError(
            f"{study.path}: {finished} of {needed} raters have finished; means stay hidden until all have (--peek shows them and is logged)"
        )
    study.peek("facesr", "means shown by table or report")
    return "before the stopping rule was met"


def analyse_study(
    path: Study | Path | str, *, peek: bool = False, simulated: bool = False, ordinal: bool = False
) -> Analysis | PairedAnalysis:
    """Read and analyse a study, by its plan. Refuses means before the stopping rule unless ``peek``, which is logged in the study.

    ``ordinal``: fit the ordinal mixed model too, as a sensitivity analysis (slow, extra ``clmm``); refused for a paired comparison.
    """
    if isinstance(path, Study):
        return _analyse(path, peek=peek, simulated=simulated, ordinal=ordinal)
    study = load_study(path)
    try:
        return _analyse(study, peek=peek, simulated=simulated, ordinal=ordinal)
    finally:
        study.close()


def _analyse(study: Study, *, peek: bool, simulated: bool, ordinal: bool) -> Analysis | PairedAnalysis:
    if ordinal and study.method == "pair":
        raise FaceSRError(f"{study.path} is a paired comparison: the ordinal model is of ratings on a scale, leave it out")
    if not simulated:
        ending.carry_out(study)  # a look that is due, where no server ran when it came
    label = allow(study, peek=peek, simulated=simulated)
    left_out = study.excluded(simulated=simulated)
    ratings = study.ratings(simulated=simulated)
    plan, alpha = study.plan, study.alpha
    done: dict[str, Any] = {"alpha": alpha, "correction": "holm", "screening": "none", "equivalence_margin": 0.0}
    if study.method == "pair":
        done["primary"] = "bradley-terry"
        kept = _plan(study, done, left_out, simulated=simulated)
        return PairedAnalysis(study, left_out, label, alpha, study.citation, kept, *_scores(study, ratings))
    rated = set(ratings.loc[ratings["kind"] == "main", "condition"])
    found = analyse_mos(
        ratings if study.imported else _with_sessions(ratings),
        None if study.imported else [c for c in study.design.conditions if c in rated],
        reference=study.reference,
        scale=study.scale,
        screening=plan.screening,
        declared=plan.screening if study.analysis else None,
        declared_before_ratings=not study.imported,
        margin=plan.equivalence_margin,
        alpha=alpha,
        correction=plan.corrected_by,
        ordinal=ordinal,
    )
    margins = [q.equivalence.margin for q in found.pairs if q.equivalence]
    done |= {
        "primary": "two-way-clustered",
        "correction": plan.correction,
        "screening": found.screened.screening.rule,
        "equivalence_margin": margins[0] if margins else 0.0,
    }
    kept = _plan(study, done, left_out, simulated=simulated)
    return Analysis(study, left_out, label, alpha, study.citation, kept, found)


def _with_sessions(ratings: pd.DataFrame) -> pd.DataFrame:
    """Ratings of a study of ours with the session of each: a rater who comes back after hours begins another."""
    session = ratings["position"] * 0
    for _, times in ratings.groupby("rater", sort=False)["at"]:
        session.loc[times.index] = sittings(moments(list(times)).seconds)
    return ratings.assign(session=session)


def _scores(study: Study, ratings: pd.DataFrame) -> tuple[BradleyTerry, int, str]:
    rated = ratings[ratings["kind"] == "main"]
    conditions = list(dict.fromkeys([*rated["condition"], *rated["other"]])) if study.imported else study.design.conditions
    names, by_cell = preference_counts(ratings, conditions)
    return bradley_terry(by_cell.sum((0, 1)), names, by_cell=by_cell), len(by_cell), sides(ratings)
