"""Run the benchmarks: all of them, or those named."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks

names = sys.argv[1:] or sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
failed = []
for name in names:
    print(f"== {name}", flush=True)
    if importlib.import_module(f"benchmarks.{name}").main([]):
        failed.append(name)
print(f"goals missed in: {', '.join(failed)}" if failed else "all goals reached")
sys.exit(1 if failed else 0)
