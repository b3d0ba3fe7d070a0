"""What the process that drives a run loads: workers load torch for themselves, and it waited for its own before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


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


def test_the_driver_of_workers_loads_no_torch(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
import sys
import facesr
if __name__ == "__main__":
    methods = ["bicubic", "fsrnet", "pix2pixhd", "psp", facesr.method("psp-refined", refine_steps=0), facesr.method("pulse", steps=1)]
    run = facesr.run("demo-x8-128", methods, sys.argv[1], workers=2, limit=2, metrics=["psnr", "ssim", "retrieval-sface", "consistency"])
    print(len(run.scores), [name for name in ("torch", "scipy.stats") if name in sys.modules])
""")
    done = subprocess.run([sys.executable, str(script), str(tmp_path / "run")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{6 * (2 * 3 + 1)} []"
