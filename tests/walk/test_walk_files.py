"""Every key of a protocol and of a command file, and every attribute of a metric and a method of one's own, changed once: what comes out
differs (beyond what repeats the request), or the file is refused. The walk fails when a key is added that it does not know."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from looking import Refused, look
from worlds import make_faces

from facesr.bench import protocol
from facesr.bench.method import Method
from facesr.bench.metrics.base import Metric
from facesr.bench.metrics.fidelity import PSNR
from facesr.bench.run.plan import make_metrics
from facesr.methods.command import Spec

P = """
name = "tiny-x4"
version = 1
description = "for tests"
[data]
dataset = "hr"
split = "all"
size = 32
reduce = "box"
[degradation]
kernel = "bicubic-matlab"
scale = 4
quantize = true
[consistency]
epsilon = 1e-3
study = "refuse"
[[metric]]
name = "psnr"
[[metric]]
name = "consistency"
[[metric]]
name = "consistency-pass"
[study]
raters = 3
images = 2
anchors = 0
scale = [1, 5]
conditions = ["hr", "bicubic", "nearest"]
"""
OWN = P.replace("scale = 4\nquantize = true\n", "") + '[lr]\nfolder = "lr"\nnames = ""\n'
ALONE = OWN.replace('dataset = "hr"', 'dataset = "none"').replace('name = "psnr"', 'name = "face-found"') + 'references = ""\n'
RUN = "run P.toml --methods bicubic,nearest --out made"
STUDY = f"{RUN} && study create made --out study --gap 1 && study simulate study"
FLAG = P.replace('study = "refuse"', 'study = "flag"')

PROTOCOL: dict[str, tuple[str, str, str, str | Refused]] = {
    "name": (f"{RUN} && table made", P, 'name = "tiny-x4"', 'name = "other"'),
    "version": (f"{RUN} && table made", P, "version = 1", "version = 2"),
    "description": ("protocols P.toml", P, '"for tests"', '"of mine"'),
    "data.dataset": (RUN, P, '"hr"', '"hr2"'),
    "data.split": (RUN, P, 'split = "all"', Refused('split = "test"', "no split 'test'")),
    "data.size": (RUN, P, "size = 32", "size = 16"),
    "data.reduce": (RUN, P.replace("size = 32", "size = 16"), 'reduce = "box"', 'reduce = "bicubic-matlab"'),
    "degradation.kernel": (RUN, P, '"bicubic-matlab"', '"box"'),
    "degradation.scale": (RUN, P, "scale = 4", "scale = 2"),
    "degradation.quantize": (RUN, P, "quantize = true", "quantize = false"),
    "metrics.name": (RUN, P, '"psnr"', '"psnr-y"'),
    "metrics.conventions": (RUN, P, 'name = "psnr"', 'name = "psnr"\nborder = 2'),
    "consistency.epsilon": (RUN, P, "epsilon = 1e-3", "epsilon = 0.5"),
    "consistency.study": (STUDY, P, 'study = "refuse"', 'study = "flag"'),
    "study.raters": (STUDY, FLAG, "raters = 3", "raters = 4"),
    "study.images": (STUDY, FLAG, "images = 2", "images = 3"),
    "study.anchors": (STUDY, FLAG, "anchors = 0", "anchors = 1"),
    "study.scale": (STUDY, FLAG, "[1, 5]", "[1, 9]"),
    "study.conditions": (STUDY, FLAG, '["hr", "bicubic", "nearest"]', '["hr", "nearest"]'),
    "lr.folder": (RUN, OWN, '"lr"', '"lr16"'),
    "lr.names": (RUN, OWN, 'names = ""', Refused('names = "x8"', "--lr-names")),
    "lr.references": (RUN, ALONE, 'references = ""', Refused('references = "nosuch"', "nosuch")),
}
"""Key: command, protocol, what is changed in it, into what."""

PROGRAM = """
import glob, os, sys
import numpy as np
from PIL import Image
out, level = sys.argv[2], int(sys.argv[3]) + int(os.environ.get("LEVEL", "0"))
level += len(open("level.txt").read()) if os.path.exists("level.txt") else 0
files = sorted(glob.glob(sys.argv[1] + "/*"))
for f in files:
    image = np.load(f) * 255 + 20 if f.endswith(".npy") else np.asarray(Image.open(f)).astype(float)
    times = max(1, 64 // image.shape[0])
    image = image.repeat(times, 0).repeat(times, 1) + level + 5 * len(files) + 3 * (image.shape[0] > 8)
    image[::2] *= 0.9
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(os.path.join(out, os.path.basename(f).split(".")[0] + ".png"))
"""
COMMAND = """
command = ["{python}", "{program}", "{{input}}", "{{output}}", "7"]
timeout = 100
cwd = "."
env = {{ LEVEL = "1" }}
upsample = ""
batch = 100
files = []
input = "png"
reduce = "box"
"""
SPEC: dict[str, tuple[str, str]] = {
    "command": ('"7"', '"90"'),
    "timeout": ("timeout = 100", "timeout = 0.001"),
    "cwd": ('cwd = "."', 'cwd = "deep"'),
    "env": ('LEVEL = "1"', 'LEVEL = "50"'),
    "upsample": ('upsample = ""', 'upsample = "box"'),
    "batch": ("batch = 100", "batch = 1"),
    "files": ("files = []", 'files = ["deep/level.txt"]'),
    "input": ('input = "png"', 'input = "npy"'),
    "reduce": ('reduce = "box"', 'reduce = "bicubic-matlab"'),
}

METRIC = '''
from facesr.bench.metrics import Metric, NoScore
class Mine(Metric):
    """Own."""
    name, label, unit = "mine", "Mine", "u"
    higher_is_better = False
    digits = 3
    range = (0.0, 500.0)
    conventions, source = "as I like it", "own"
    version = 1
    needs_lr = False
    compares_with = "hr"
    share = False
    scores_unconverged = False
    from_protocol = {}
    def __init__(self, *, epsilon=0.0):
        self.plus = epsilon
    def score(self, sr, batch, reference):
        plus = self.plus + (batch.lr is not None)
        return [float(sr[i].mean() > 100) + plus for i in range(len(sr))]
'''
MINE = "run P.toml --methods bicubic,odd.py:Odd --metrics mine.py:Mine --out made && table made --format md && metrics mine.py:Mine --json"
METRIC_KEYS: dict[str, tuple[str, str | Refused]] = {
    "name": ('name, label, unit = "mine"', 'name, label, unit = "yours"'),
    "label": ('"Mine", "u"', '"Ours", "u"'),
    "higher_is_better": ("higher_is_better = False", "higher_is_better = True"),
    "unit": ('"u"', '"dB"'),
    "digits": ("digits = 3", "digits = 1"),
    "range": ("(0.0, 500.0)", "(0.0, 1.0)"),
    "conventions": ('"as I like it"', '"otherwise"'),
    "source": ('"own"', '"a paper"'),
    "needs_lr": ("needs_lr = False", "needs_lr = True"),
    "share": ("share = False", "share = True"),
    "scores_unconverged": ("scores_unconverged = False", "scores_unconverged = True"),
    "from_protocol": ("from_protocol = {}", 'from_protocol = {"epsilon": "consistency.epsilon"}'),
}
METHOD = '''
from facesr.bench.imaging import resize
from facesr.bench.method import Method, Outcome, Restored
class Odd(Method):
    """Says how many faces it was given, and does not converge on the first."""
    cite, terms = "keys1981cubic", "none"
    batch_size = 3
    needs_lr = True
    fixed_batch = True
    from_protocol = {}
    def __init__(self, *, part=0.9, **rest):
        super().__init__(**rest)
        self.part = part
    def restore(self, lr, names=()):
        image = (resize(lr, self.size, "box") * self.part + 0.01 * lr.shape[0]).clamp(0, 1)
        return Restored(image, [Outcome("not_converged" if n == "000" else "ok", "far" if n == "000" else "") for n in names])
'''
METHOD_KEYS: dict[str, tuple[str, str | Refused]] = {
    "cite": ('"keys1981cubic"', '"chen2018fsrnet"'),
    "terms": ('"none"', '"mine alone"'),
    "batch_size": ("batch_size = 3", "batch_size = 2"),
    "needs_lr": ("needs_lr = True", "needs_lr = False"),
    "fixed_batch": ("fixed_batch = True", "fixed_batch = False"),
    "from_protocol": ("from_protocol = {}", 'from_protocol = {"part": "consistency.epsilon"}'),
}


def leaves(kind: Any, before: str = "") -> Iterator[str]:
    """Names of all keys, tables within by their parts."""
    inner = {"data": protocol.Data, "degradation": protocol.Degradation, "metrics": protocol.MetricSpec, "lr": protocol.OwnLr}
    inner |= {"consistency": protocol.ConsistencyRule, "study": protocol.StudySpec}
    for field in dataclasses.fields(kind):
        table = inner.get(field.name) if kind is protocol.Protocol else None
        yield from leaves(table, f"{field.name}.") if table else (before + field.name,)


def attributes(kind: type) -> set[str]:
    """What a class of one's own may set beside methods and properties."""
    return {name for name in inspect.get_annotations(kind) if not name.startswith("_")}


def test_the_walk_knows_every_key() -> None:
    """A new key needs a line."""
    assert set(leaves(protocol.Protocol)) == set(PROTOCOL)
    assert {field.name for field in dataclasses.fields(Spec)} == set(SPEC)
    assert attributes(Metric) == {*METRIC_KEYS, "version", "compares_with"}  # the two have tests of their own
    assert attributes(Method) == set(METHOD_KEYS)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces and what else the files name."""
    home = tmp_path_factory.mktemp("keys")
    make_faces(home)
    (home / "deep").mkdir()
    (home / "deep/level.txt").write_text("x" * 60)
    (home / "program.py").write_text(PROGRAM)
    (home / "P.toml").write_text(P)
    (home / "mine.py").write_text(METRIC)
    (home / "odd.py").write_text(METHOD)
    return home


Walk = tuple[Path, pytest.MonkeyPatch, pytest.CaptureFixture[str], Path]


@pytest.fixture
def walk(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Walk:
    """What ``differs`` needs."""
    return world, monkeypatch, capsys, tmp_path / "w"


def differs(walk: Walk, line: str, file: str, text: str, old: str, new: str | Refused) -> None:
    """The command with ``text`` as ``file``, and with one part of it changed."""
    world, monkeypatch, capsys, place = walk
    assert old in text, old
    kept = (world / file).read_text() if (world / file).exists() else None
    try:
        (world / file).write_text(text)
        before = look(line, world, place, monkeypatch, capsys)
        (world / file).write_text(text.replace(old, new.words if isinstance(new, Refused) else new, 1))
        after = look(line, world, place, monkeypatch, capsys)
    finally:
        (world / file).unlink() if kept is None else (world / file).write_text(kept)
    assert before.code < 2 or "study" in line, before.said
    if isinstance(new, Refused):
        assert after.code == 2 and new.says in after.said, after.said
        return
    assert after.code < 2, after.said
    before.files.pop(file, None), after.files.pop(file, None)
    assert after != before, f"{new} does nothing:\n{after.said}"


@pytest.mark.parametrize("key", PROTOCOL)
def test_a_key_of_a_protocol_acts_or_is_refused(key: str, walk: Walk) -> None:
    line, text, old, new = PROTOCOL[key]
    differs(walk, line, "P.toml", text, old, new)


@pytest.mark.parametrize("key", SPEC)
def test_a_key_of_a_command_file_acts(key: str, walk: Walk) -> None:
    text = COMMAND.format(python=sys.executable, program=walk[0] / "program.py")
    differs(walk, "run P.toml --methods c=command:c.toml --metrics psnr --out made", "c.toml", text, *SPEC[key])


@pytest.mark.parametrize("key", METRIC_KEYS)
def test_an_attribute_of_an_own_metric_acts(key: str, walk: Walk) -> None:
    differs(walk, MINE, "mine.py", METRIC, *METRIC_KEYS[key])


def test_what_an_own_metric_compares_with_acts(walk: Walk) -> None:
    """Without HR it is offered or refused."""
    free = METRIC.replace('compares_with = "hr"', 'compares_with = "nothing"')
    line = "run --lr lr --size 32 --methods bicubic --metrics mine.py:Mine --out made"
    differs(walk, line, "mine.py", free, '"nothing"', Refused('"hr"', "compares SR with HR"))


def test_the_version_of_a_metric_enters_the_key_of_its_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that would give other numbers says so by its version, and old scores are computed again."""
    made = protocol.parse_protocol(P)
    before = make_metrics(made, made.metrics)[0].key
    monkeypatch.setattr(PSNR, "version", PSNR.version + 1)
    assert make_metrics(made, made.metrics)[0].key != before


@pytest.mark.parametrize("key", METHOD_KEYS)
def test_an_attribute_of_an_own_method_acts(key: str, walk: Walk) -> None:
    line = "run P.toml --methods odd.py:Odd --metrics psnr --out made && table made --format latex"
    differs(walk, line, "odd.py", METHOD, *METHOD_KEYS[key])
