"""A whole rating study analysed at once: what the report prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.agreement import Alpha, Icc, IntraRater, icc, intra_rater, krippendorff_alpha
from facesr.bench.stats.clustered import Components, components
from facesr.bench.stats.cube import Cube
from facesr.bench.stats.cube import cube as cube_of
from facesr.bench.stats.equivalence import margin_of
from facesr.bench.stats.guards import (
    Guard,
    equality_guards,
    noise_guard,
    order_guard,
    ordinal_guard,
    pair_guards,
    precision_guard,
    screening_guard,
)
from facesr.bench.stats.mos import ConditionMos, Sos, condition_mos, difference_scores, sos
from facesr.bench.stats.order import OrderEffect, order_effects, order_refused
from facesr.bench.stats.ordinal import OrdinalModel, ordinal_model
from facesr.bench.stats.pairwise import PairComparison, compare_conditions, significance_letters
from facesr.bench.stats.power import size_sentence
from facesr.bench.stats.rank_tests import Omnibus, friedman
from facesr.bench.stats.recovery import Recovered, recover, remove_bias, table_means
from facesr.bench.stats.screening import Screening, screen

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Screened:
    """The study again after the declared rule: who was rejected and why, and the MOS and pairs without them."""

    screening: Screening
    rejected: tuple[str, ...]
    conditions: tuple[ConditionMos, ...]
    pairs: tuple[PairComparison, ...]


@dataclass(frozen=True)
class MosAnalysis:
    """Everything a report says about a rating study; all raters unless a field says otherwise.

    ``dmos`` (empty without a reference) as MOS of difference scores, whose histogram runs to 9.
    ``bias_removed`` and ``recovered``: MOS after P.913 12.4, and
    P.910's maximum likelihood over stimuli, ``recovered_mos`` averaged by condition. ``omnibus``: Friedman over rater means.
    ``letters``: conditions that share one cannot be told apart. ``intra``: None without repeats. ``simulated``: ratings that no
    person gave. ``guards``: sentences to print. ``order``: effects of position, fatigue and what came before; ``order_refused``: why there are none.
    ``size``: what a study of this size finds, a sentence. ``ordinal``: the ordinal model, None unless asked for.
    """

    cube: Cube
    scale: tuple[int, int]
    level: float
    conditions: tuple[ConditionMos, ...]
    dmos: tuple[ConditionMos, ...]
    bias_removed: tuple[ConditionMos, ...]
    recovered: Recovered
    recovered_mos: dict[str, float]
    screened: Screened
    sos: Sos
    alpha: Alpha
    icc: Icc
    intra: IntraRater | None
    components: Components
    pairs: tuple[PairComparison, ...]
    omnibus: Omnibus | None
    letters: dict[str, str]
    guards: tuple[Guard, ...]
    simulated: int
    order: tuple[OrderEffect, ...] = ()
    order_refused: str = ""
    size: str = ""
    ordinal: OrdinalModel | None = None

    @property
    def ratings(self) -> int:
        """Number of ratings analysed."""
        return int(np.isfinite(self.cube.values).sum())


def analyse_mos(
    ratings: pd.DataFrame,
    conditions: Sequence[str] | None = None,
    reference: str | None = None,
    scale: tuple[int, int] = (1, 5),
    level: float = 0.95,
    screening: str = "none",
    declared: str | None = "none",
    declared_before_ratings: bool = True,
    margin: float | None = None,
    alpha: float = 0.05,
    correction: str = "holm",
    claimed_equal: Iterable[tuple[str, str]] = (),
    draws: int = 1000,
    seed: int = 0,
    ordinal: bool = False,
) -> MosAnalysis:
    """Analyse a long table: rater, face, condition, score, and optionally kind (``main`` and ``repeat`` rows are used) and simulated.

    ``reference``: the condition DMOS is taken from (HR). ``screening``: the rule applied, by name; ``declared``: the one the study
    froze. ``margin``: equivalence margin in rating points, a fortieth of the scale by default, 0 for no test of equivalence.
    ``alpha`` and ``correction``: the plan's decision. ``ordinal``: fit the ordinal model too (slow, extra ``clmm``).
    Raises ``FaceSRError`` for a table that cannot be analysed.
    Scores outside the scale are refused: they are a mistake of the import, not an opinion.
    """
    cube = cube_of(ratings, conditions)
    outside = cube.values[(cube.values < scale[0]) | (cube.values > scale[1])]
    if outside.size:
        raise FaceSRError(
            f"{outside.size} scores lie outside the scale {scale[0]} to {scale[1]}, such as {outside[0]:g}: mend the import"
        )
    mos = condition_mos(cube, scale, level)
    compare = partial(compare_conditions, level=level, margin=margin, alpha=alpha, correction=correction, scale=scale)
    pairs = tuple(compare(cube))
    recovered = recover(cube.table)
    parts = components(cube.values)
    order = order_effects(ratings, level)
    model = ordinal_model(cube, level) if ordinal else None
    screened = _screened(cube, screening, scale, level, compare, pairs)
    intra = _intra(ratings)
    return MosAnalysis(
        cube=cube, scale=scale, level=level, conditions=mos,
        dmos=condition_mos(difference_scores(cube, reference, scale), (scale[0], 2 * scale[1] - scale[0]), level) if reference else (),
        bias_removed=condition_mos(cube.with_table(remove_bias(cube.table).scores), scale, level),
        recovered=recovered, recovered_mos=_recovered_mos(cube, recovered), screened=screened,
        sos=sos(cube.table, scale), alpha=krippendorff_alpha(cube.table, level=level, draws=draws, seed=seed), icc=icc(cube.table, level),
        intra=intra, components=parts, pairs=pairs, omnibus=_omnibus(cube, alpha),
        letters=significance_letters(pairs, {m.condition: m.mean for m in mos}),
        order=order, order_refused=order_refused(ratings), ordinal=model, size=_size(parts, cube, pairs, alpha, margin or margin_of(scale)),
        guards=tuple(_guards(mos, pairs, screened, intra, declared, declared_before_ratings, claimed_equal, order, model)),
        simulated=int(ratings["simulated"].astype(bool).sum()) if "simulated" in ratings.columns else 0,
    )  # fmt: skip


def _size(parts: Components, cube: Cube, pairs: Sequence[PairComparison], alpha: float, difference: float) -> str:
    raters, faces, _ = cube.values.shape
    return (
        size_sentence(parts, raters, faces, difference, alpha, len(pairs)) if min(raters, faces) > 2 and not parts.unknown else ""
    )


def _recovered_mos(cube: Cube, recovered: Recovered) -> dict[str, float]:
    by_face = recovered.quality.reshape(len(cube.faces), len(cube.conditions))
    return dict(zip(cube.conditions, map(float, table_means(by_face, 0)), strict=True))


def _screened(
    cube: Cube,
    rule: str,
    scale: tuple[int, int],
    level: float,
    compare: Callable[[Cube], list[PairComparison]],
    pairs: tuple[PairComparison, ...],
) -> Screened:
    found = screen(cube.table, rule, list(cube.conditions) * len(cube.faces))
    rejected = tuple(cube.raters[i] for i in found.rejected)
    if not rejected:
        return Screened(found, (), condition_mos(cube, scale, level), pairs)
    kept = cube.without(rejected)
    return Screened(found, rejected, condition_mos(kept, scale, level), tuple(compare(kept)))


def _intra(ratings: pd.DataFrame) -> IntraRater | None:
    """First rating against the repeat, where rows are marked ``repeat``; else where a rating appears twice."""
    keys = ["rater", "face", "condition"]
    if "kind" in ratings.columns:
        first = ratings[ratings["kind"] == "main"].drop_duplicates(keys)
        again = ratings[ratings["kind"] == "repeat"].drop_duplicates(keys)
        both = first.merge(again, on=keys, suffixes=("", "_again"))
    else:
        order = ratings.groupby(keys, sort=False).cumcount()
        both = ratings[order == 0].merge(ratings[order == 1], on=keys, suffixes=("", "_again"))
    return intra_rater(both["score"].to_numpy(float), both["score_again"].to_numpy(float)) if len(both) else None


def _omnibus(cube: Cube, alpha: float) -> Omnibus | None:
    means = np.stack([table_means(cube.values[:, :, k], 1) for k in range(len(cube.conditions))], axis=1)
    if np.isfinite(means).all(axis=1).sum() < 2 or len(cube.conditions) < 2:
        return None
    return friedman(means, cube.conditions, alpha)


def _guards(
    mos: Sequence[ConditionMos], pairs: Sequence[PairComparison], screened: Screened, intra: IntraRater | None,
    declared: str | None, before: bool, claimed_equal: Iterable[tuple[str, str]], order: Sequence[OrderEffect],
    model: OrdinalModel | None,
) -> list[Guard]:  # fmt: skip
    found: list[Guard | None] = [*pair_guards(pairs), *equality_guards(pairs, claimed_equal)]
    found += [Guard("unanimous", m.condition, f"{m.condition}: {m.note}.") for m in mos if m.note and m.sd == 0]
    found += [order_guard(effect) for effect in order]
    if model is not None:
        found.append(ordinal_guard(model.order, [m.condition for m in sorted(mos, key=lambda m: -m.mean)]))
    if intra is not None:
        found += [noise_guard(pair, intra.noise) for pair in pairs]
    worst = max(mos, key=lambda m: -np.inf if np.isnan(m.design_effect) else m.design_effect)
    found.append(precision_guard(worst.design_effect, worst.n))
    found.append(
        screening_guard(declared, screened.screening.rule, declared_before_ratings=before, rejected=len(screened.rejected))
    )
    return [g for g in found if g is not None]
