"""The plan's stopping rule, carried out: at each look the program tests, and ends the collection where the rule is met. Nobody sees a mean.

From then on nobody new begins. Who has begun may finish and is paid; those answers are kept, and the analysis stays at the look that decided.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.cube import cube
from facesr.bench.stats.paired_comparison import bradley_terry
from facesr.bench.stats.pairwise import decided
from facesr.bench.study import closing, store
from facesr.bench.study import tables as t
from facesr.bench.study.database import writing
from facesr.bench.study.pairs import preference_counts
from facesr.bench.study.plan import AnalysisPlan

if TYPE_CHECKING:
    import pandas as pd

    from facesr.bench.stats.intervals import F64
    from facesr.bench.study.study import Study

LOOK, MET = "look of the plan", closing.MET
"""Kinds of events; both are the study's own, of no rater."""

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Look:
    """A test at a look: after so many ``raters``, at ``level`` for all pairs together, ``decided`` of ``pairs``."""

    raters: int
    level: float
    decided: int
    pairs: int

    def ends(self, plan: AnalysisPlan) -> bool:
        """Whether collection ends here by the plan."""
        return self.decided >= (1 if plan.stopping.end == "any" else self.pairs)


def looks(study: Study, kind: str = LOOK) -> list[Look]:
    """The looks that were carried out, or with ``MET`` the one that ended the collection."""
    with study.engine.connect() as connection:
        return _read(connection, kind)


def _read(connection: Connection, kind: str) -> list[Look]:
    mine = (t.event.c.kind == kind) & t.event.c.rater.is_(None)
    return [
        Look(**json.loads(d)) for d in connection.execute(select(t.event.c.detail).where(mine).order_by(t.event.c.id)).scalars()
    ]


def carry_out(study: Study) -> Look | None:
    """Test if a look is due, and end the collection if the rule is met; returns the look that ended it, now or before.

    What cannot be tested (a condition that never won, one rater) decides nothing.
    """
    rule = study.plan.stopping
    if study.imported or rule.kind == "fixed":
        return None
    with _ONE_AT_A_TIME:
        if met := looks(study, MET):
            return met[0]
        done = {look.raters for look in looks(study)}
        if not _may_be_due(study, done):
            return None
        due = study.look_due()
        if not due or closing.seal_of(study) or due in done:
            return None
        level = study.level_at(due)
        tested = decisions(study.first_finishers(due), study.plan, level, study.design.conditions, study.method)
        found = Look(due, level, sum(tested.values()), len(tested))
        with writing(study.engine) as connection:
            store.serialise(connection)
            if due in {look.raters for look in _read(connection, LOOK)}:  # another process was quicker
                return next(iter(_read(connection, MET)), None)
            store.log_event(connection, LOOK, **asdict(found))
            if found.ends(study.plan):
                store.log_event(connection, MET, **asdict(found))
    return found if found.ends(study.plan) else None


def _may_be_due(study: Study, done: set[int]) -> bool:
    """Whether so many finished that a look can be due. Cheap, since it is asked after every finisher: who breaks a rule may count here still."""
    with study.engine.connect() as connection:
        out = select(t.exclusion.c.rater)
        mine = (t.rater.c.status == "done") & t.rater.c.simulated.is_(False) & t.rater.c.id.not_in(out)
        finished = connection.execute(select(func.count()).select_from(t.rater).where(mine)).scalar_one()
    rule, latest = study.plan.stopping, max(done, default=0)
    if rule.kind == "always-valid":
        return finished >= max(study.design.raters_to_finish, latest + 1)
    return any(latest < n <= finished for n in rule.looks)


def decisions(
    ratings: pd.DataFrame, plan: AnalysisPlan, level: float, conditions: list[str], method: str
) -> dict[tuple[str, str], bool]:
    """For each pair, whether the plan's primary test decides it at ``level``: different, or equivalent where a margin is declared."""
    undecided = dict.fromkeys(combinations(conditions, 2), False)
    if not 0 < level < 1:
        return undecided
    try:
        if method == "pair":
            return preferred(*preference_counts(ratings, conditions), level)
        found = decided(cube(ratings, conditions), alpha=level, correction=plan.corrected_by, margin=plan.equivalence_margin)
        return undecided | found
    except FaceSRError:
        return undecided


def preferred(names: list[str], by_cell: F64, level: float) -> dict[tuple[str, str], bool]:
    """For each pair whether Bradley-Terry's test decides it; ``by_cell``: of ``preference_counts``. Raises where scores are infinite."""
    p = bradley_terry(by_cell.sum((0, 1)), names, by_cell=by_cell).p
    return {(names[i], names[j]): bool(p[i, j] < level) for i, j in combinations(range(len(names)), 2)}
