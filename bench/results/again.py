"""The command that makes a run again, from what ``run.json`` says of it."""

from __future__ import annotations

import shlex

from facesr.bench import protocol
from facesr.bench.registry import installed
from facesr.bench.results.info import MethodInfo, RunInfo


def command(info: RunInfo, out: str = "") -> str:
    """``facesr run ...`` for these methods, parameters, metrics, faces and seed; every word is quoted for a shell.

    A user's own folders, programs and files are named as they were where the run was made. ``out``: the run folder's name.
    """
    name = str(info.protocol.get("name", "PROTOCOL"))
    data = str(info.protocol.get("data", {}).get("dataset", ""))
    words = ["facesr", "run", name if name in protocol.protocol_names() else f"{name}.toml"]
    if name == "own-lr" and info.protocol.get("lr"):  # made of --lr alone
        words[2:] = ["--size", str(dict(info.protocol.get("data") or {}).get("size", 128))]
    words += ["--methods", ",".join(_method(m) for m in info.methods), "--metrics", ",".join(_metrics(info))]
    for method in info.methods:
        for key, value in method.params.items():
            if key != "path":
                words += ["--set", f"{method.label}.{key}={value}"]
    if data.startswith("folder:"):
        words += ["--data", data.removeprefix("folder:")]
    if own := dict(info.protocol.get("lr") or {}):
        words += ["--lr", str(own.get("folder", ""))]
        words += ["--references", str(own["references"])] if own.get("references") else []
        words += ["--lr-names", str(own["names"])] if own.get("names") else []
    if info.shard:
        words += ["--shard", info.shard]
    elif info.data.total and len(info.faces) < info.data.total:
        words += ["--limit", str(len(info.faces))]
    words += ["--seed", str(info.seed)] if info.seed else []
    return shlex.join([*words, "--out", f"runs/{out or name}"])


def _metrics(info: RunInfo) -> list[str]:
    """Metrics as ``--metrics`` takes them, with the conventions they were given."""
    specs = [dict(m) for m in info.protocol.get("metrics") or ()]
    asked = [(str(m.get("name", "")), dict(m.get("conventions") or {})) for m in specs]
    texts = [name + ("?" + "&".join(f"{k}={v}" for k, v in own.items()) if own else "") for name, own in asked]
    return texts or list(info.metrics)


def _method(method: MethodInfo) -> str:
    """A method as ``--methods`` takes it: an installed one by its name, a folder, a program or a file of a user's with its label."""
    target, path = method.target, str(method.params.get("path", ""))
    if target.endswith(":Folder"):
        return f"{method.label}=folder:{path}"
    if target.endswith(":Command"):
        return f"{method.label}=command:{path}"
    if ".py:" in target:
        return f"{method.label}={target}"
    name = next((n for n, t in installed("facesr.methods").items() if t == target), method.label)
    return name if name == method.label else f"{method.label}={name}"
