"""What was planned, what was done, and where the two differ: the table every report of a study opens with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from facesr.bench.study import closing, reading, wording
from facesr.bench.study.plan import AnalysisPlan, Stopping
from facesr.bench.study.study import Study

BY_THE_PROGRAM = ("returned", "timed_out", "screened", "replaced")
"""Ways of leaving that are no choice about results."""


@dataclass(frozen=True)
class Entry:
    """One entry of the plan. ``deviation``: '' where it was done as planned."""

    entry: str
    planned: str
    done: str
    deviation: str = ""


def plan_entries(plan: AnalysisPlan) -> dict[str, str]:
    """What decides, in words: entry -> planned."""
    return {
        "primary": plan.primary,
        "alpha": f"{plan.alpha:g}",
        "correction": plan.correction,
        "screening": plan.screening,
        "equivalence_margin": f"{plan.equivalence_margin:g}" if plan.equivalence_margin else "none",
    }


def carried_out(study: Study, done: Mapping[str, object] | None = None, *, simulated: bool = False) -> list[Entry]:
    """Planned, done and deviation of every entry. ``done``: what the analysis used, by entry; an entry it does not name was not carried out.

    Empty for imported ratings: they have no plan of ours.
    """
    if study.imported:
        return []
    planned = plan_entries(study.plan)
    used = {name: f"{value:g}" if isinstance(value, float | int) else str(value) for name, value in (done or {}).items()}
    if study.plan.stopping.kind != "fixed" and "alpha" in used:
        planned["alpha"] = f"{study.plan.alpha:g} over all looks, {study.alpha:.3g} at this one"
        used["alpha"] = planned["alpha"] if used["alpha"] == f"{study.alpha:g}" else used["alpha"]
    if used.get("equivalence_margin") == "0":
        used["equivalence_margin"] = "none"
    rows = []
    for name, wanted in planned.items():
        got = used.get(name, "not carried out")
        rows.append(Entry(name.replace("_", " "), wanted, got, "" if got == wanted else "not as planned"))
    return [_collection(study, simulated), *rows, *_left_out(study, simulated), _texts(study), *_looks(study, simulated)]


def stopping_in_words(rule: Stopping, raters: int, stop: int) -> str:
    """The stopping rule as a sentence's object."""
    if rule.kind == "group-sequential":
        looks = ", ".join(map(str, rule.looks))
        return f"looks after {looks} raters, level spent by {rule.spending}; ends when {rule.end} pairs are decided, at the latest at {raters}"
    if rule.kind == "always-valid":
        return f"an always-valid test from {stop} raters on; ends when {rule.end} pairs are decided, at the latest at {raters}"
    return f"{raters} raters" + (f", means hidden until {stop} have finished" if stop < raters else "")


def _collection(study: Study, simulated: bool) -> Entry:
    design, finished, sealed = study.design, study.finished(simulated=simulated), closing.seal_of(study)
    planned = stopping_in_words(study.plan.stopping, design.raters, design.raters_to_finish)
    done = f"{finished} {'simulated ' if simulated else ''}raters finished" + (
        f", closed {sealed.at[:10]}" if sealed else ", not closed"
    )
    short = finished < design.raters_to_finish
    deviation = f"{design.raters_to_finish - finished} raters fewer" if short else ""
    if not simulated and (look := study.ended):
        done += f"; the rule was met at {look.raters}, {look.decided} of {look.pairs} pairs decided at level {look.level:.3g}: those are analysed"
    elif not simulated and sealed and not study.complete():
        deviation = deviation or "ended before the rule was met"
    if sealed and sealed.reason:
        deviation = f"{deviation}; {sealed.reason}" if deviation else sealed.reason
    return Entry("collection", planned, done, deviation)


def _left_out(study: Study, simulated: bool) -> list[Entry]:
    rules = study.plan.exclude_raters.declared
    people = reading.raters(study)
    mine = set(people.loc[people["simulated"].astype(bool) == simulated, "name"])
    by_hand = {name: broken for name, broken in reading.exclusions(study).items() if name in mine}
    out = study.excluded(simulated=simulated)
    rows = []
    for rule, limit in rules.items():
        who = [name for name, why in out.items() if rule in {part.split(":")[0].strip() for part in why.split("; ")}]
        rows.append(Entry(f"leave out: {rule.replace('_', ' ')}", "yes" if limit is True else f"limit {limit:g}", _names(who)))
    for rule in BY_THE_PROGRAM:
        if who := [name for name, broken in by_hand.items() if rule in broken]:
            deviation = "finished raters were replaced" if rule == "replaced" and _finished(people, who) else ""
            rows.append(Entry(f"left: {rule.replace('_', ' ')}", "place given to another", _names(who), deviation))
    others = {name: [r for r in broken if r not in rules and r not in BY_THE_PROGRAM] for name, broken in by_hand.items()}
    if others := {name: broken for name, broken in others.items() if broken}:
        said = "; ".join(f"{name} ({', '.join(broken)})" for name, broken in others.items())
        rows.append(Entry("left out by hand", "nobody", said, "not in the plan"))
    return rows


def _finished(people: object, names: list[str]) -> bool:
    import pandas as pd

    assert isinstance(people, pd.DataFrame)
    return bool(people.loc[people["name"].isin(names), "finished"].notna().any())


def _names(who: list[str]) -> str:
    return f"{len(who)}: {', '.join(who[:8])}{' …' if len(who) > 8 else ''}" if who else "nobody"


def _texts(study: Study) -> Entry:
    texts = study.design.texts
    frozen = {wording.words_digest(words) for words in texts.values()}
    people = reading.raters(study)
    agreed = people.loc[~people["simulated"].astype(bool) & people["consent"].notna(), "agreed"].fillna("")
    other = int((~agreed.isin(frozen)).sum()) if frozen else 0
    planned = f"frozen in {', '.join(texts)}" if texts else "not frozen (an older study)"
    return Entry("texts", planned, f"{len(agreed)} raters agreed", f"{other} raters have no record of these texts" if other else "")


def _looks(study: Study, simulated: bool) -> list[Entry]:
    peeks = [] if simulated else study.peeks()
    if not peeks:
        return []
    said = "; ".join(f"{p['at'][:10]} {p['who']}: {p['reason']} ({p['finished']} finished)" for p in peeks[:5])
    return [Entry("early looks at means", "none", f"{len(peeks)}: {said}", "the level no longer holds")]
