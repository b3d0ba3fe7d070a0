"""The exit codes of every command, as a table: 0 done, 1 done with findings, 2 refused, 3 busy, 130 stopped."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest

from facesr.bench.imaging import write_png
from facesr.bench.run.folder import locked
from facesr.cli import COMMANDS, EXIT, main
from helpers import TINY, faces, picture

CASES: list[tuple[str, int]] = [
    ("run P --data hr --methods bicubic --out made", 0),
    ("run P --data odd --methods bicubic --out made", 1),
    ("run P --data hr --methods bicubik --out made", 2),
    ("run P --data hr --methods bicubic --out run", 3),
    ("score sr --hr hr --metrics psnr", 0),
    ("score sr --hr odd --metrics psnr", 1),
    ("score sr --hr hr --metrics psrn", 2),
    ("score sr --protocol P --data hr --metrics psnr --out run", 3),
    ("merge made shard1", 2),
    ("merge made shard1 shard2", 0),
    ("merge run shard1 shard2", 3),
    ("watch run --once", 0),
    ("watch nowhere --once", 2),
    ("table run", 0),
    ("table run --metrics fid", 2),
    ("table nothing", 1),
    ("report run --faces 000", 0),
    ("report nowhere", 2),
    ("export run --out made", 0),
    ("export run --out sr", 2),
    ("verify run", 0),
    ("verify run --sample all --data odd", 0),
    ("verify run --sample none", 2),
    ("reproduce run --data hr", 0),
    ("reproduce nowhere", 2),
    ("site run --out made", 0),
    ("site nowhere --out made", 2),
    ("dashboard nowhere", 2),
    ("study status nowhere", 2),
    ("check-claim --mos 3.70 2.00 --raters 40 --images 40", 0),
    ("check-claim --mos 3.70 3.67 --raters 40 --images 40", 1),
    ("check-claim --mos 3.70 9 --raters 40 --images 40", 2),
    ("protocols", 0),
    ("protocols nowhere", 2),
    ("methods", 0),
    ("methods nowhere", 2),
    ("metrics psnr", 0),
    ("metrics nowhere", 2),
    ("data list", 0),
    ("data prepare mine --from hr --size 32 --out made", 0),
    ("data prepare mine --from hr --split test --out made", 2),
    ("data verify prepared", 0),
    ("data verify touched", 1),
    ("data verify hr", 2),
    ("weights list", 0),
    ("weights verify nowhere", 1),
    ("weights verify --json", 2),
    ("new metric mine --out made", 0),
    ("new metric mine --out taken", 2),
    ("doctor", -1),
    ("completion bash", 0),
    ("completion cmd", 2),
    ("train nothing --out made", 2),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces, finished images, runs and shards that the table's words name."""
    home = tmp_path_factory.mktemp("codes")
    faces(home / "hr", 2)
    shutil.copytree(home / "hr", home / "sr")
    shutil.copytree(home / "hr", home / "odd")
    (home / "odd/broken.png").write_bytes(b"no image")
    (home / "taken").write_text("")
    (home / "P.toml").write_text(TINY)
    made = ["run", str(home / "P.toml"), "--data", str(home / "hr"), "--workers", "1", "-q"]
    base = [*made, "--methods", "bicubic"]
    assert main([*base, "--out", str(home / "run")]) == 0
    for i in (1, 2):
        assert main([*base, "--shard", f"{i}/2", "--out", str(home / f"shard{i}")]) == 0
    (home / "bad.py").write_text(
        "from facesr.bench.method import Method\nclass Bad(Method):\n    def restore(self, lr, names=()):\n        raise OSError\n"
    )
    assert main([*made, "--methods", f"{home / 'bad.py'}:Bad", "--out", str(home / "nothing")]) == 1
    prepare = ["data", "prepare", "mine", "--from", str(home / "hr"), "--size", "32"]
    for name in ("prepared", "touched"):
        assert main([*prepare, "--out", str(home / name)]) == 0
    write_png(home / "touched/images/000.png", picture(9, 32))
    return home


@pytest.mark.parametrize(("line", "code"), CASES)
def test_exit_codes(
    line: str, code: int, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world)
    words = [{"P": "P.toml", "made": str(tmp_path / "made")}.get(w, w) for w in line.split()]
    words += ["--workers", "1"] if words[0] in ("run", "score") and "--hr" not in words else []
    if code == 3:
        with locked(world / "run"):
            got = main(words)
    else:
        try:
            got = main(words)
        except SystemExit as stop:  # argparse's own refusals
            got = int(stop.code or 0)
    assert got == code or (code == -1 and got in (0, 1))  # doctor's depends on the machine
    if got in (2, 3):
        assert len(capsys.readouterr().err.strip()) > 20


def test_every_command_is_in_the_table_says_its_codes_and_stops_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(args: object) -> int:
        raise KeyboardInterrupt

    assert {line.split()[0] for line, _ in CASES} == set(COMMANDS)
    for name in COMMANDS:
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert (stop.value.code, EXIT in capsys.readouterr().out) == (0, True), name
        line = next(line for line, code in CASES if line.split()[0] == name)
        monkeypatch.setattr(importlib.import_module(f"facesr.cli.{name.replace('-', '_')}"), "main", stopped)
        assert main(line.split()) == 130, name
        assert "same command goes on" in capsys.readouterr().err
