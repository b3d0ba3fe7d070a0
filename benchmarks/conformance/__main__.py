"""``make conformance``: every check, and docs/conformance.md. ``python -m benchmarks.conformance kernels r`` runs some and writes nothing.

Ends with 1 where a difference is above its tolerance or a peer fails.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.simplefilter("ignore")  # of peers: what they do to others is not the question here

ROOMS = ("pictures", "networks", "kernels", "statistics", "r")


def main(names: Sequence[str]) -> int:
    """0 when all is within tolerance."""
    import importlib

    from benchmarks.conformance import Outcome, Section, faults, page, run

    if unknown := [name for name in names if name not in ROOMS]:
        print(f"no part {unknown[0]}: there are {', '.join(ROOMS)}")
        return 2
    made: list[tuple[Section, list[Outcome]]] = []
    for name in names or ROOMS:
        for section in importlib.import_module(f"benchmarks.conformance.{name}").sections():
            print(f"== {section.title}", flush=True)
            outcomes = []
            for check in section.checks:
                outcomes.append(run(check))
                print(page.line(outcomes[-1]), flush=True)
            made.append((section, outcomes))
    if not names:
        page.write(made, [faults.shown(fault) for fault in faults.FAULTS])
    bad = [o for _, outcomes in made for o in outcomes if not o.good]
    print(f"{len(bad)} above tolerance or failing" if bad else "all within tolerance")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
