"""Plain sentences where a claim does not hold, for the report to print beside its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from facesr.bench.numbers import p_words
from facesr.bench.stats.order import OrderEffect
from facesr.bench.stats.pairwise import PairComparison, letters_refused

FEW_DF = 4.0
"""Degrees of freedom below which a t interval of unevenly spread ratings is said to be rough."""


@dataclass(frozen=True)
class Guard:
    """A warning: ``kind`` is stable (for links and tests), ``subject`` what it is about, ``sentence`` for the reader."""

    kind: str
    subject: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def pair_guards(pairs: Sequence[PairComparison]) -> list[Guard]:
    """What to warn of in a study's pairs: see ``guard_pair``; and one sentence where letters would mislead."""
    found = [guard for pair in pairs for guard in guard_pair(pair)]
    refused = letters_refused(pairs)
    return [*found, *([Guard("no_letters", "all pairs", refused)] if refused else [])]


def guard_pair(pair: PairComparison) -> list[Guard]:
    """Undefined tests; significant by Mann-Whitney but not when clustered; signs that disagree; differences nobody could detect;
    fragile ones; differences of other cells than the MOS; few effective raters or faces. All by the pair's own decision."""
    found = [f(pair) for f in (_undefined, _mwu_only, _signs, _undetectable, _fragile, _few)]
    return [g for g in found if g is not None]


def _name(pair: PairComparison) -> str:
    return f"{pair.a} and {pair.b}"


def _after(pair: PairComparison) -> str:
    """The corrected p of the decision: 'after Holm p = .082'."""
    words = {
        "holm": "after Holm ",
        "bonferroni": "after Bonferroni ",
        "benjamini-hochberg": "after Benjamini-Hochberg ",
        "none": "",
    }
    return f"{words[pair.correction]}{p_words(pair.p_adjusted)}"


def _undefined(pair: PairComparison) -> Guard | None:
    if pair.verdict != "undefined":
        return None
    return Guard(
        "undefined", _name(pair),
        f"{_name(pair)}: no test and no interval can be given for the difference of {pair.difference:+.2f}, since {pair.undefined}.",
    )  # fmt: skip


def _mwu_only(pair: PairComparison) -> Guard | None:
    if pair.over_raters is None or pair.different or not pair.p_paper_holm < pair.alpha or pair.verdict == "undefined":
        return None
    return Guard(
        "mwu_not_clustered", _name(pair),
        f"{_name(pair)} differ by the paper's Mann-Whitney U ({p_words(pair.paper.p)}) but not once raters and faces are counted as "
        f"shared ({p_words(pair.p)}, {_after(pair)}): with other raters and faces the difference may vanish or turn.",
    )  # fmt: skip


def _signs(pair: PairComparison) -> Guard | None:
    claimed = pair.different or pair.paper.p < pair.alpha
    if pair.difference * (pair.a12 - 0.5) >= 0 or not claimed:
        return None
    return Guard(
        "signs_disagree", _name(pair),
        f"{_name(pair)}: the mean difference is {pair.difference:+.2f} but A12 is {pair.a12:.3f}, on the other side of .5: the two "
        "distributions differ in shape, so neither is simply better.",
    )  # fmt: skip


def _undetectable(pair: PairComparison) -> Guard | None:
    if pair.different or not (abs(pair.difference) < pair.detectable and pair.p_paper_holm < pair.alpha):
        return None
    return Guard(
        "below_detectable", _name(pair),
        f"{_name(pair)}: a difference of {abs(pair.difference):.3g} is below the {pair.detectable:.3g} this study detects with 80 % "
        "power; calling it significant would not be repeatable.",
    )  # fmt: skip


def _fragile(pair: PairComparison) -> Guard | None:
    highest = pair.p_left_out[1]
    if not (pair.different and highest >= pair.threshold):
        return None
    whom = pair.left_out.hangs_on if pair.left_out else "one of them"
    return Guard(
        "hangs_on_one", _name(pair),
        f"{_name(pair)}: different ({_after(pair)}) only with all raters and faces; without {whom} {p_words(highest)}, "
        f"where {pair.threshold:.2g} is needed.",
    )  # fmt: skip


def _few(pair: PairComparison) -> Guard | None:
    if not pair.basis or not 0 < pair.df < FEW_DF:
        return None
    return Guard(
        "few_effective", _name(pair),
        f"{_name(pair)}: the ratings are so unevenly spread that the difference rests on about {pair.df:.1f} degrees of freedom; take its "
        "interval as rough.",
    )  # fmt: skip


def equality_guards(pairs: Sequence[PairComparison], claimed_equal: Iterable[tuple[str, str]] = ()) -> list[Guard]:
    """Pairs that are called equal, or would be read so, without an equivalence test that shows it.

    A pair in ``claimed_equal`` (either order) that TOST does not show equivalent gets its own sentence; all undecided pairs share one.
    """
    guards, silent = [], []
    claimed = {frozenset(c) for c in claimed_equal}
    for pair in pairs:
        if frozenset((pair.a, pair.b)) in claimed and not pair.equivalent:
            known = pair.equivalence is not None and np.isfinite(pair.equivalence.p)
            margin = (
                f" within ±{pair.equivalence.margin:g} ({p_words(pair.equivalence.p)})"
                if known and pair.equivalence
                else ": none could be made"
            )
            sentence = f"{_name(pair)} are called equal, but an equivalence test does not show it{margin}; a large p is no evidence of equality."
            guards.append(Guard("equal_without_tost", _name(pair), sentence))
        elif pair.verdict == "undecided":
            silent.append(_name(pair))
    if silent:
        sentence = f"Neither different nor shown to be equal: {'; '.join(silent)}. Do not write that they are equal."
        guards.append(Guard("neither", "; ".join(silent), sentence))
    return guards


def screening_guard(declared: str | None, used: str, *, declared_before_ratings: bool, rejected: int) -> Guard | None:
    """Raters screened by a rule that was not declared before looking; ``declared`` None: no rule was declared at all."""
    if used == "none" or rejected == 0 or (used == declared and declared_before_ratings):
        return None
    what = (
        "no rule was declared"
        if declared is None
        else f"the declared rule was {declared!r}"
        if used != declared
        else "it was declared after ratings had come in"
    )
    return Guard(
        "screened_after_looking", used,
        f"{rejected} rater{'s were' if rejected > 1 else ' was'} screened out by {used!r}, but {what}: a rule chosen after looking is a "
        "choice of results; report both.",
    )  # fmt: skip


def noise_guard(pair: PairComparison, noise: float) -> Guard | None:
    """A difference that is significant but smaller than the disagreement of a rater with themself; ``noise``: sd of one rating."""
    if not (np.isfinite(noise) and pair.different and abs(pair.difference) < noise / 2):
        return None
    return Guard(
        "below_rater_noise", _name(pair),
        f"{_name(pair)}: the difference of {abs(pair.difference):.2f} is real but small beside the {noise:.2f} by which a rater's own "
        "repeated ratings scatter: few people would notice it.",
    )  # fmt: skip


def ordinal_guard(by_model: Sequence[str], by_mos: Sequence[str]) -> Guard | None:
    """The order of conditions hangs on reading the five points as equally spaced; both orders from best to worst."""
    if list(by_model) == list(by_mos):
        return None
    return Guard(
        "ordinal_order", ", ".join(by_model),
        f"By the ordinal model the order is {' > '.join(by_model)}, by MOS {' > '.join(by_mos)}: it hangs on reading the points of the scale "
        "as equally spaced.",
    )  # fmt: skip


def order_guard(effect: OrderEffect) -> Guard | None:
    """An effect of order, fatigue, session or the rating before that chance does not explain."""
    if not effect.p_holm < 0.05:
        return None
    return Guard(
        "order", effect.kind,
        f"Order matters: {effect.words} {effect.estimate:+.2f} [{effect.low:.2f}, {effect.high:.2f}] (mean of {effect.raters} raters, "
        f"{p_words(effect.p_holm)} after Holm). Balanced orders keep it out of the comparison of conditions, unbalanced ones do not.",
    )  # fmt: skip


def precision_guard(design_effect: float, n: int) -> Guard | None:
    """Ratings that are worth far fewer independent ones, so naive intervals are too narrow."""
    if not (np.isfinite(design_effect) and design_effect > 2):
        return None
    return Guard(
        "design_effect", f"{n} ratings",
        f"The {n} ratings of a condition are worth about {n / design_effect:.0f} independent ones (design effect {design_effect:.1f}): naive "
        f"intervals are {np.sqrt(design_effect):.1f} times too narrow for other raters and faces.",
    )  # fmt: skip
