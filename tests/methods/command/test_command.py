"""External programs that misbehave: they cost their own faces a reason, and nothing of them is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from facesr.bench.imaging import to_tensor
from facesr.bench.imaging.files import read_rgb
from facesr.bench.method import Restored
from facesr.methods.command import Command
from facesr.methods.command.program import TAIL, run_program
from facesr.methods.folder import Folder

COPY = """
import os, sys, time, shutil, pathlib, subprocess
inside, outside = map(pathlib.Path, sys.argv[1:3])
from PIL import Image
for file in sorted(inside.iterdir()):
    Image.open(file).resize((32, 32)).save(outside / file.name)
"""
LR = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)).mul(255).round().div(255)  # 8-bit, as LR is


def _go(folder: Path, extra: str = "", more: str = "", timeout: float = 20) -> Restored:
    (folder / "script.py").write_text(COPY + extra)
    command = [sys.executable, str(folder / "script.py"), "{input}", "{output}"]
    (folder / "m.toml").write_text(f"command = {command}\ntimeout = {timeout}\n{more}")
    return Command(path=str(folder / "m.toml"), size=32, scale=8).restore(LR, ["a", "b"])


def _statuses(restored: Restored) -> list[str]:
    return [outcome.status for outcome in restored.outcomes or []]


def test_a_daemon_that_keeps_standard_error_open_neither_hangs_nor_outlives_the_call(tmp_path: Path) -> None:
    spawn = f"""
pid = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True).pid
pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(pid))
"""
    began = time.monotonic()
    restored = _go(tmp_path, spawn)
    assert _statuses(restored) == ["ok", "ok"]
    assert time.monotonic() - began < 60
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
        except OSError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the daemon is still there")


def test_endless_standard_error_takes_no_memory_and_its_end_is_kept(tmp_path: Path) -> None:
    code = "import sys\nfor _ in range(200): sys.stderr.write('x' * 500_000 + chr(10))\nsys.exit('no CUDA device')"
    reason = run_program([sys.executable, "-c", code], tmp_path, {}, 60)
    assert "ended with status 1" in reason and reason.endswith("no CUDA device")
    assert len(reason) < TAIL + 400


def test_a_program_that_runs_too_long_ends_whole(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']); time.sleep(300)"
    began = time.monotonic()
    mark = {"FACESR_TEST": str(tmp_path)}
    assert run_program([sys.executable, "-c", code], tmp_path, mark, 2).endswith("was stopped after 2 s")
    assert time.monotonic() - began < 30
    left = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            left += [file] if f"FACESR_TEST={tmp_path}".encode() in file.read_bytes() else []
        except OSError:
            continue
    assert not left


def test_only_regular_files_of_the_program_are_read(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/a.png").write_bytes(b"")
    linked = _go(tmp_path, f"(outside / 'a.png').unlink(); (outside / 'a.png').symlink_to({str(tmp_path / 'secret/a.png')!r})")
    assert _statuses(linked) == ["failed", "ok"]
    assert "a link" in (linked.outcomes or [])[0].reason
    piped = _go(tmp_path, "(outside / 'b.png').unlink(); os.mkfifo(outside / 'b.png')")
    assert _statuses(piped) == ["ok", "failed"]
    assert "not a regular file" in (piped.outcomes or [])[1].reason
    swapped = _go(tmp_path, f"shutil.rmtree(outside); outside.symlink_to({str(tmp_path / 'secret')!r})")
    assert _statuses(swapped) == ["failed", "failed"]
    assert (tmp_path / "secret/a.png").exists()


def test_what_runs_is_part_of_the_key(tmp_path: Path) -> None:
    """The script that ``command`` names and the modules beside it, without being listed in ``files``."""
    (tmp_path / "helper.py").write_text("x = 1\n")
    _go(tmp_path)
    before = Command(path=str(tmp_path / "m.toml")).weights
    assert set(before) == {"m.toml", "script.py", "helper.py"}
    (tmp_path / "helper.py").write_text("x = 2\n")
    os.utime(tmp_path / "helper.py", ns=(1, 1))
    after = Command(path=str(tmp_path / "m.toml")).weights
    assert {name for name in before if before[name] != after[name]} == {"helper.py"}


def test_braces_and_fields_of_a_command() -> None:
    made = Command.__new__(Command)
    made.scale, made.size, made.seed = 8, 128, 3
    assert made._filled("{{x}} {scale}:{size}:{seed} {input}", Path("/a"), Path("/b")) == "{x} 8:128:3 /a"


def test_a_folder_pairs_names_of_both_unicode_forms_and_skips_what_is_no_file(tmp_path: Path) -> None:
    import numpy as np

    from facesr.bench.imaging import write_png

    image = np.full((32, 32, 3), 90, np.uint8)
    write_png(tmp_path / "Ame\u0301lie.png", image)  # decomposed, as macOS writes it
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    method = Folder(path=str(tmp_path), size=32)
    method.load()
    restored = method.restore(LR[:1].expand(4, -1, -1, -1), ["Am\u00e9lie", "pipe", "gone", "other"])
    assert _statuses(restored) == ["ok", "failed", "failed", "missing"]
    assert torch.equal(restored.images[0], to_tensor(image[None])[0])
    assert np.array_equal(read_rgb(method.inputs("Am\u00e9lie")[0]), image)


def test_nobody_elses_child_is_ended(tmp_path: Path) -> None:
    """A notebook's own server, say: it lies in a session of its own, as what a program leaves behind may."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        assert run_program(["true"], tmp_path, {}, 20.0) == ""
        assert "cannot be started" in run_program([str(tmp_path / "nowhere")], tmp_path, {}, 20.0)
        assert "ended with status 3: odd" in run_program(["sh", "-c", "echo odd >&2; exit 3"], tmp_path, {}, 20.0)
        assert "was killed by signal 11" in run_program(["sh", "-c", "kill -SEGV $$"], tmp_path, {}, 20.0)
        assert "was stopped after 1 s" in run_program(["sleep", "30"], tmp_path, {}, 1.0)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
