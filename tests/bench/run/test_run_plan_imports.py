"""What planning a run loads: workers load torch for themselves, and the process that drives them waited for it before."""

from __future__ import annotations

import subprocess
import sys


def test_a_plan_loads_no_torch() -> None:
    code = """
import sys
from pathlib import Path
from facesr.bench import protocol, registry
from facesr.bench.run import make_plan
known = protocol.load_protocol("demo-x8-128", registry.installed("facesr.metrics"))
plan = make_plan(known, registry.method_specs(["bicubic", "nearest", "psp"], []), Path("nowhere"))
assert {"lpips-alex", "st-lpips-alex", "identity-sface"} <= {metric.name for metric in plan.metrics}, plan.metrics
print([name for name in ("torch", "pandas", "pyarrow") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
