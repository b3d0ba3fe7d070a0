"""Bad faces, odd methods and somebody's program: what they cost are their own cells, and what is wrong is refused before work starts."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facesr.bench import protocol, registry
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import write_png
from facesr.bench.results import Run
from facesr.bench.run import make_plan, start
from helpers import TINY, faces, picture


@pytest.fixture
def world(tmp_path: Path) -> Path:
    faces(tmp_path / "hr")
    return tmp_path


def _go(world: Path, method: str = "bicubic") -> Run:
    known = protocol.parse_protocol(TINY, metrics=registry.installed("facesr.metrics"))
    return start(make_plan(known, registry.method_specs([method]), world / "run", data=str(world / "hr")))


COMMAND = """
command = "{python} {script} {{input}} {{output}} {{scale}}"
timeout = {timeout}
files = ["script.py"]
"""
SCRIPT = """
import sys, pathlib, time
from PIL import Image
source, target = map(pathlib.Path, sys.argv[1:3])
for file in sorted(source.iterdir()):
    if file.stem == "001": continue
    image = Image.open(file)
    side = 60 if file.stem == "002" else image.width * int(sys.argv[3])
    image.resize((side, side)).save(target / file.name)
    {extra}
"""


def _command(world: Path, extra: str = "", timeout: float = 60) -> str:
    (world / "script.py").write_text(SCRIPT.format(extra=extra))
    (world / "theirs.toml").write_text(COMMAND.format(python=sys.executable, script=world / "script.py", timeout=timeout))
    return f"command:{world / 'theirs.toml'}"


def test_command_statuses(world: Path) -> None:
    psnr = _go(world, _command(world)).scores().query("metric == 'psnr'").set_index("image")
    assert psnr.status.to_dict() == {"000": "ok", "001": "missing", "002": "failed", "003": "ok", "004": "ok"}


def test_command_crash_keeps_stderr_and_what_was_made(world: Path) -> None:
    extra = "if file.stem == '002': sys.exit('no CUDA device')"
    psnr = _go(world, _command(world, extra)).scores().query("metric == 'psnr'").set_index("image")
    assert psnr.status["000"] == "ok"
    assert psnr.status["004"] == "failed"
    assert "no CUDA device" in psnr.reason["004"]


def test_command_timeout_ends_the_program(world: Path) -> None:
    began = time.monotonic()
    psnr = _go(world, _command(world, "time.sleep(60)", timeout=2)).scores().query("metric == 'psnr'").set_index("image")
    assert time.monotonic() - began < 40
    assert "stopped after 2 s" in psnr.reason["004"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'command' is missing"),
        ('comand = "x"', "did you mean 'command'"),
        ('command = "x {inptu}"', "unknown field"),
        ("command = [", "not valid TOML"),
        ("command = 3", "'command'"),
        ('command = "x {input:1000000000}"', "unknown field"),
        ('command = "x \'unfinished"', "not words of a command line"),
        ('command = "x"\ntimeout = inf', "'timeout'"),
        ('command = "x"\ntimeout = nan', "'timeout'"),
        ('command = "x"\ntimeout = -1', "'timeout'"),
        ('command = "x"\nbatch = -3', "'batch'"),
        ('command = "x"\nupsample = "bicubic-matlap"', "did you mean 'bicubic-matlab'"),
    ],
)
def test_bad_command_files_are_told(world: Path, text: str, says: str) -> None:
    (world / "bad.toml").write_text(text)
    try:
        frame = _go(world, f"command:{world / 'bad.toml'}").scores()
        assert frame.reason.str.contains(says).any()
    except FaceSRError as error:
        assert says in str(error)


ODD = '''
import torch
from facesr.bench.method import Method, Outcome, Restored

class Odd(Method):
    """Fails in every way a method can."""
    def restore(self, lr, names=()):
        if "001" in names:
            raise RuntimeError("CUDA out of memory\\nlong trace")
        out = torch.full((len(names), 3, self.size, self.size), 0.5)
        if names[0] == "002":
            out[0, 0, 0, 0] = float("nan")
        if names[0] == "003":
            out = out[:, :, :-1]
        return Restored(out, [Outcome("not_converged", "epsilon 0.004 after 100 steps") if n == "004" else Outcome() for n in names])
'''


def test_a_bad_face_does_not_take_its_batch(world: Path) -> None:
    (world / "odd.py").write_text(ODD)
    frame = _go(world, f"{world / 'odd.py'}:Odd").scores()
    psnr = frame[frame.metric == "psnr"].set_index("image")
    assert psnr.status.to_dict() == {
        "000": "ok",
        "001": "failed",
        "002": "failed",
        "003": "failed",
        "004": "not_converged",
    }
    assert psnr.reason["001"] == "RuntimeError: CUDA out of memory long trace"
    assert "NaN" in psnr.reason["002"]
    assert "expected (8, 3, 64, 64)" in psnr.reason["003"]
    assert np.isfinite(psnr.value["004"])  # the kept image's value stays in its row
    consistency = frame[frame.metric == "consistency"].set_index("image")
    assert consistency.status["004"] == "ok"
    assert (world / "run/sr/odd/004.png").is_file()
    assert not (world / "run/sr/odd/001.png").exists()


def _spoil_grey(path: Path) -> None:
    Image.fromarray(picture(1)).convert("CMYK").save(path.with_suffix(".tif"))
    path.unlink()


def _spoil_small(path: Path) -> None:
    write_png(path, picture(1, 32))


def _spoil_oblong(path: Path) -> None:
    write_png(path, picture(1, 80)[:64])


def _spoil_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [(_spoil_grey, "CMYK"), (_spoil_small, "smaller than"), (_spoil_oblong, "not square"), (_spoil_cut, "truncated")],
)
def test_a_bad_hr_face_costs_its_own_cells(world: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(world / "hr/001.png")
    frame = _go(world).scores()
    lost = frame[frame.image == "001"]
    assert len(lost) == 4
    assert (lost.status == "failed").all()
    assert lost.reason.str.contains(says).all()
    assert (frame[frame.image != "001"].status == "ok").all()
    assert len(frame) == 5 * 4
