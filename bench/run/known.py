"""What can be said of a run before its first face: cells of which nothing can come, what methods remark of their files, terms, files left over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from facesr.bench.run.plan import Plan
from facesr.bench.run.restorer import Restorer


def lost_cells(plan: Plan, restorers: Sequence[Restorer]) -> list[str]:
    """Methods and metrics whose cells stay empty whatever is computed, each with the reason; the others' cells do not suffer from it."""
    methods = (f"{r.spec.label}: {why}" for r in restorers for why in (r.facts.missing, r.trouble) if why)
    metrics = (f"metric {m.name}: {why}" for m in plan.metrics if (why := m.missing or str(m.metric.skip(plan.size) or "")))
    return list(dict.fromkeys([*methods, *metrics]))


def known_before(plan: Plan, restorers: Sequence[Restorer]) -> Iterator[str]:
    """``lost_cells``, and what there is to know besides."""
    yield from lost_cells(plan, restorers)
    yield from dict.fromkeys(f"{r.spec.label}: {line}" for r in restorers for line in r.remarks)
    yield from dict.fromkeys(f"terms of {r.spec.label}: {r.facts.terms}" for r in restorers if r.facts.terms)
    yield from plan.leftovers
