"""Plain sentences where a claim does not hold, for the report to print beside its tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from facesr.bench.stats.pairwise import PairComparison


@dataclass(frozen=True)
class Guard:
    """A warning: ``kind`` is stable (for links and tests), ``subject`` what it is about, ``sentence`` for the reader."""

    kind: str
    subject: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def p_text(p: float) -> str:
    """A p-value as a paper prints it: ``p = .082``, ``p < .001``, ``p > .999``."""
    if not np.isfinite(p):
        return "p unknown"
    return "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".", 1) if p < 0.9995 else "p > .999"


def pair_guards(pairs: Sequence[PairComparison], alpha: float = 0.05) -> list[Guard]:
    """What to warn of in a study's pairs: see ``guard_pair``."""
    return [guard for pair in pairs for guard in guard_pair(pair, alpha)]


def guard_pair(pair: PairComparison, alpha: float = 0.05) -> list[Guard]:
    """Significant by Mann-Whitney but not when clustered; signs that disagree; differences nobody could detect; fragile ones."""
    found = [_mwu_only(pair, alpha), _signs(pair, alpha), _undetectable(pair, alpha), _fragile(pair, alpha)]
    return [g for g in found if g is not None]


def _name(pair: PairComparison) -> str:
    return f"{pair.a} and {pair.b}"


def _mwu_only(pair: PairComparison, alpha: float) -> Guard | None:
    if pair.over_raters is None or not (pair.p_paper_holm < alpha <= pair.p_holm):
        return None
    return Guard(
        "mwu_not_clustered", _name(pair),
        f"{_name(pair)} differ by the paper's Mann-Whitney U ({p_text(pair.paper.p)}) but not once raters and faces are counted as "
        f"shared ({p_text(pair.p)}, after Holm {p_text(pair.p_holm)}): with other raters and faces the difference may vanish or turn.",
    )  # fmt: skip


def _signs(pair: PairComparison, alpha: float) -> Guard | None:
    if pair.difference * (pair.a12 - 0.5) >= 0 or min(pair.paper.p, pair.p) >= alpha:
        return None
    return Guard(
        "signs_disagree", _name(pair),
        f"{_name(pair)}: the mean difference is {pair.difference:+.2f} but A12 is {pair.a12:.3f}, on the other side of .5: the two "
        "distributions differ in shape, so neither is simply better.",
    )  # fmt: skip


def _undetectable(pair: PairComparison, alpha: float) -> Guard | None:
    if not (np.isfinite(pair.detectable) and abs(pair.difference) < pair.detectable and pair.paper.p < alpha):
        return None
    if pair.p_holm < alpha:
        return None
    return Guard(
        "below_detectable", _name(pair),
        f"{_name(pair)}: a difference of {abs(pair.difference):.3g} is below the {pair.detectable:.3g} this study detects with 80 % "
        "power; calling it significant would not be repeatable.",
    )  # fmt: skip


def _fragile(pair: PairComparison, alpha: float) -> Guard | None:
    if not (pair.p < alpha <= pair.p_left_out[1]):
        return None
    return Guard(
        "hangs_on_one", _name(pair),
        f"{_name(pair)}: significant ({p_text(pair.p)}) only with all raters and faces; without one of them {p_text(pair.p_left_out[1])}.",
    )  # fmt: skip


def equality_guards(
    pairs: Sequence[PairComparison], claimed_equal: Iterable[tuple[str, str]] = (), alpha: float = 0.05
) -> list[Guard]:
    """Pairs that are called equal, or would be read so, without an equivalence test that shows it.

    A pair in ``claimed_equal`` (either order) that TOST does not show equivalent gets its own sentence; all other pairs neither
    different nor equivalent share one.
    """
    guards, silent = [], []
    claimed = {frozenset(c) for c in claimed_equal}
    for pair in pairs:
        shown = pair.equivalence is not None and pair.equivalence.equivalent
        if frozenset((pair.a, pair.b)) in claimed and not shown:
            margin = (
                f" within ±{pair.equivalence.margin:g} ({p_text(pair.equivalence.p)})" if pair.equivalence else ": none was made"
            )
            sentence = f"{_name(pair)} are called equal, but an equivalence test does not show it{margin}; a large p is no evidence of equality."
            guards.append(Guard("equal_without_tost", _name(pair), sentence))
        elif not shown and not pair.significant(alpha):
            silent.append(_name(pair))
    if silent:
        guards.append(
            Guard(
                "neither",
                "; ".join(silent),
                f"Neither different nor shown to be equal: {'; '.join(silent)}. Do not write that they are equal.",
            )
        )
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


def printed_guard(columns: Iterable[str]) -> Guard | None:
    """A table that prints p-values without an effect size or an interval, judged by its column names."""
    names = [c.lower() for c in columns]
    has_p = [c for c in names if c == "p" or c.startswith(("p_", "p-", "p ", "pval"))]
    shown = ("a12", "cliff", "delta", "diff", "low", "ci", "interval", "biserial", "effect", "±")
    if not has_p or any(word in c for c in names for word in shown if c not in has_p):
        return None
    return Guard(
        "p_without_effect",
        ", ".join(has_p),
        "p-values are printed without an effect size or interval: add the difference with its interval, or A12.",
    )


def noise_guard(pair: PairComparison, noise: float) -> Guard | None:
    """A difference that is significant but smaller than the disagreement of a rater with themself; ``noise``: sd of one rating."""
    if not (np.isfinite(noise) and pair.p_holm < 0.05 and abs(pair.difference) < noise / 2):
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


def precision_guard(design_effect: float, n: int) -> Guard | None:
    """Ratings that are worth far fewer independent ones, so naive intervals are too narrow."""
    if not (np.isfinite(design_effect) and design_effect > 2):
        return None
    return Guard(
        "design_effect", f"{n} ratings",
        f"The {n} ratings of a condition are worth about {n / design_effect:.0f} independent ones (design effect {design_effect:.1f}): naive "
        f"intervals are {np.sqrt(design_effect):.1f} times too narrow for other raters and faces.",
    )  # fmt: skip
