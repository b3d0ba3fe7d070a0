"""Write the beginning of a method, metric or protocol of your own, with a test that says what to mend.

  facesr new method soft              soft.py and test_soft.py
  facesr new metric mae --out mine    mine/mae.py and mine/test_mae.py
  facesr new protocol my-faces        my-faces.toml

The files work as they are: change what they do, and run the test (pytest test_soft.py) as you go.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from facesr.bench import protocol
from facesr.bench.errors import FaceSRError, suggest
from facesr.cli import tone

METHOD = '''"""{title}: a face super-resolution method for facesr."""

from facesr.bench.imaging import resize
from facesr.bench.method import Method


class {title}(Method):
    """Say in one line what the method does; 'facesr methods' and reports print it."""

    cite = ""  # the BibTeX key of its paper
    terms = ""  # licence of code and weights, where there is something to say

    def __init__(self, *, strength=1.0, **common):  # --set {name}.strength=0.5
        super().__init__(**common)
        self.strength = float(strength)

    def restore(self, lr, names=()):
        """(B, 3, h, w) RGB in [0, 1] -> (B, 3, H, W) in [0, 1]."""
        enlarged = resize(lr, self.size, "bicubic-matlab")
        grey = enlarged.mean(1, keepdim=True)
        return grey + self.strength * (enlarged - grey)
'''
METRIC = '''"""{title}: a metric for facesr."""

import numpy as np

from facesr.bench.metrics import Metric


class {title}(Metric):
    """Say what it measures, and of which paper it is."""

    name, label, higher_is_better = "{name}", "{title}", False
    unit, digits, range = "", 4, (0.0, 1.0)
    conventions, source = "mean absolute error, RGB in [0, 1]", "own"

    def score(self, sr, batch, reference):
        """``sr`` and ``batch.hr``: (N, H, W, 3) uint8 RGB as saved. One number per image."""
        return [float(v) for v in np.abs(sr / 255 - batch.hr / 255).mean((1, 2, 3))]
'''
TEST = '''"""The contract of {title}: every fault names the file and line to mend."""

from pathlib import Path

from facesr.bench.conformance import {kind}_faults


def test_{plain}_keeps_the_contract() -> None:
    assert {kind}_faults(f"{{Path(__file__).with_name('{file}')}}:{title}") == []
'''


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("kind", choices=("method", "metric", "protocol"))
    parser.add_argument("name", help="its name in tables: letters, digits, - and _")
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where to write (default: here)")
    parser.add_argument(
        "--like", default="demo-x8-128", metavar="PROTOCOL", help="the protocol to begin from (default: %(default)s)"
    )


def main(args: argparse.Namespace) -> int:
    """Write the files; an existing one is never overwritten."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", args.name):
        raise FaceSRError(f"{args.name!r} is no name: begin with a letter, then letters, digits, - or _")
    if args.kind != "protocol" and args.like != "demo-x8-128":
        raise FaceSRError("--like begins a protocol from another one: it does nothing for a method or metric")
    if taken := _taken(args.kind, args.name):
        raise FaceSRError(f"{args.name!r} is the name of {taken}: choose another, or tables could not tell them apart")
    files = _protocol(args) if args.kind == "protocol" else _class(args)
    if there := [str(file) for file in files if file.exists()]:
        raise FaceSRError(f"{', '.join(there)} is there already: choose another name or --out")
    from facesr.bench.imaging import write_whole

    args.out.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        write_whole(file, text)
        print(file)
    first = next(iter(files))
    title = _title(args.name)
    test, run = args.out / f"test_{first.stem}.py", f"--out runs/{args.name}"
    more = {
        "method": f"'pytest {test}' checks it; 'facesr run demo-x8-128 --methods bicubic,{args.name}={first}:{title} {run}' compares it",
        "metric": f"'pytest {test}' checks it; 'facesr run demo-x8-128 --methods bicubic --metrics psnr,{first}:{title} {run}' uses it",
        "protocol": f"'facesr protocols {first}' checks it; 'facesr run {first} --methods bicubic {run}' runs it",
    }
    tone.hint(more[args.kind])
    return 0


def _taken(kind: str, name: str) -> str:
    """What has this name already; '' where nothing has."""
    from facesr.bench import registry

    known = protocol.protocol_names() if kind == "protocol" else registry.installed(f"facesr.{kind}s")
    return f"the {kind} {name} that comes along" if name in known else ""


def _title(name: str) -> str:
    """A class's name: my-net is MyNet."""
    return "".join(part[0].upper() + part[1:] for part in re.split(r"[-_]+", name) if part)


def _class(args: argparse.Namespace) -> dict[Path, str]:
    plain = args.name.replace("-", "_")
    file = args.out / f"{plain}.py"
    names = {"name": args.name, "title": _title(args.name), "plain": plain.lower(), "kind": args.kind, "file": file.name}
    body = METHOD if args.kind == "method" else METRIC
    return {file: body.format(**names), args.out / f"test_{plain}.py": TEST.format(**names)}


def _protocol(args: argparse.Namespace) -> dict[Path, str]:
    if args.like not in protocol.protocol_names():
        raise FaceSRError(f"no protocol {args.like!r}: {suggest(args.like, protocol.protocol_names())}")
    text = (Path(protocol.__file__).parents[1] / "protocols" / f"{args.like}.toml").read_text(encoding="utf-8")
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    text = re.sub(r'^name = ".*"$', f'name = "{args.name}"', text, count=1, flags=re.M)
    text = re.sub(r"^version = \d+$", "version = 1", text, count=1, flags=re.M)
    about = f"# {args.name}: begun from {args.like}. A protocol that results were made with never changes: raise the version.\n"
    return {args.out / f"{args.name}.toml": about + text.strip() + "\n"}
