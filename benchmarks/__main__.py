"""Run the benchmarks: all of them, or those named.

python -m benchmarks                all; writes their lines into docs/performance.md
python -m benchmarks fidelity       one
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import benchmarks
from benchmarks import RESULTS, page
from facesr.bench import weights
from facesr.bench.errors import FaceSRError

WANTED = (
    "random-face-mapping-xml",
    "random-face-mapping-bin",
    "random-face-synthesis-xml",
    "random-face-synthesis-bin",
    "sface",
    "yunet",
)
"""Weight files that some benchmark needs and that can be fetched."""
ASKED_FOR = ("conformance", "dashboard", "equality", "gpu", "mutants", "page", "survivors", "workers")
"""Not among 'all': a browser is needed, many minutes, a GPU; and what times nothing."""


def fetch() -> None:
    """Get what 'facesr weights fetch' would; what cannot be had is said, and costs its own lines only."""
    for name in WANTED:
        try:
            weights.fetch(name)
        except FaceSRError as error:
            print(f"{name} cannot be had: {error}")


def run(name: str) -> str:
    """Run one benchmark: '' where its goals are reached, else why not."""
    print(f"== {name}", flush=True)
    try:
        missed = importlib.import_module(f"benchmarks.{name}").main([])
    except (FaceSRError, ImportError, OSError, subprocess.SubprocessError) as error:  # a peer or a file that is not here
        print(f"not run: {error}")
        return f"{name} (not run: {error})"
    except SystemExit as error:  # values that disagree
        print(error)
        return f"{name} ({error})"
    return name if missed else ""


def main(names: list[str]) -> int:
    """0 when every goal is reached."""
    there = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
    if unknown := [name for name in names if name not in there]:
        print(f"no benchmark {unknown[0]}: there are {', '.join(there)}")
        return 2
    fetch()
    failed, ran = [], {}
    for name in names or [n for n in there if n not in ASKED_FOR]:
        before = len(RESULTS)
        why = run(name)
        ran[name] = RESULTS[before:]
        failed += [why] if why else []
    if not names:
        page.write(ran, failed)
    print(f"missed: {'; '.join(failed)}" if failed else "all goals reached")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
