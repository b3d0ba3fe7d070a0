"""The command that makes a run again, from what the run notes of itself."""

from __future__ import annotations

import shlex

from facesr.bench.results import MethodInfo, Run


def command(run: Run) -> str:
    """``facesr run ...`` for these methods, parameters, metrics, faces and seed. Paths of another machine's files are that machine's."""
    data = str(run.protocol.get("data", {}).get("dataset", ""))
    words = ["facesr", "run", str(run.protocol.get("name", "PROTOCOL"))]
    words += ["--methods", ",".join(_method(m) for m in run.info.methods), "--metrics", ",".join(run.metrics)]
    for method in run.info.methods:
        for name, value in method.params.items():
            if name != "path":
                words += ["--set", f"{method.label}.{name}={value}"]
    if data.startswith("folder:"):
        words += ["--data", data.removeprefix("folder:")]
    if run.info.data.total and len(run.faces) < run.info.data.total:
        words += ["--limit", str(len(run.faces))]
    words += ["--seed", str(run.info.seed)] if run.info.seed else []
    return shlex.join([*words, "--out", f"runs/{run.path.name}"])


def _method(method: MethodInfo) -> str:
    """A method as ``--methods`` takes it: an installed one by its name, a folder, a program or a file of a user's with its label."""
    target, path = method.target, str(method.params.get("path", ""))
    if target.endswith(":Folder"):
        return f"{method.label}=folder:{path}"
    if target.endswith(":Command"):
        return f"{method.label}=command:{path}"
    if ".py:" in target:
        return f"{method.label}={target}"
    from facesr.bench.registry import installed

    name = next((n for n, t in installed("facesr.methods").items() if t == target), method.label)
    return name if name == method.label else f"{method.label}={name}"
