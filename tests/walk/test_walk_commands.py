"""Every option of every command but ``study`` and ``train``, given once: what the command prints or writes differs, or it is refused.

The walk fails when an option is added that it does not know. ``{}`` in a line is where the words before and after go (else at its end).
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from looking import Case, Refused, Seen, acts, how_ratings_are_read, look, options
from spies import spies
from worlds import make_world

from facesr.cli import COMMANDS

RUN = "run P.toml --data hr --methods bicubic --metrics psnr --out made"
SCORE = "score sr --protocol P.toml --data hr --metrics psnr --out made"
FREE = "score sr --hr hr --metrics psnr"
TABLE = "table run --format md"
REPORT = "report run --out made --count 1"
CLAIM = "check-claim --mos 3.70 3.60 --raters 40 --images 40"
VALIDATE = "metrics validate ratings.csv scores.csv"
PREPARE = "data prepare mine --from hr --size 16 --out made"


def _given(line: str, *words: str) -> dict[str, Case]:
    """Options of one line that are simply added to it: ``--limit 1``."""
    return {f"{line.split(maxsplit=1)[0]} {word.split()[0]}": (line, "", word) for word in words}


CASES: dict[str, Case] = {
    "run protocol": (RUN.replace("P.toml", "{}"), "P.toml", "Q.toml"),
    "run --lr": ("run --methods bicubic --metrics psnr --hr hr --out made --size 32 --lr {}", "lr", "lr16"),
    "run --lr-names": (
        "run --methods bicubic --metrics psnr --hr hr --out made --size 32 --lr named",
        "",
        Refused("--lr-names y", "probably --lr-names 'x4'"),
    ),
    "run --hr": ("run --methods bicubic --metrics psnr --out made --size 32 --lr lr --hr {}", "hr", "hr2"),
    "run --references": ("run --methods bicubic --out made --size 32 --lr lr", "", "--references photos"),
    "run --size": ("run --methods bicubic --metrics psnr --hr hr --out made --lr lr --size {}", "32", "16"),
    "run --methods": (RUN.replace("bicubic", "{}"), "bicubic", "nearest"),
    "run --set": ("run P.toml --data hr --methods noisy.py:Noisy --metrics psnr --out made", "", "--set noisy.share=0.5"),
    "run --data": (RUN.replace("data hr", "data {}"), "hr", "hr2"),
    "run --metrics": (RUN.replace("psnr", "{}"), "psnr", "psnr?border=2"),
    **_given(RUN, "--attributes attributes.csv", "--limit 2", "--shard 1/2", "--cache store", "--workers 3", "--on slurm"),
    "run --seed": ("run P.toml --data hr --methods noisy.py:Noisy --metrics psnr --out made", "", "--seed 3"),
    "run --device": (RUN, "", Refused("--device gpu", "did you mean 'cpu'")),
    "run --slurm": (f"{RUN} --on slurm", "", "--slurm timeout_min=7"),
    "run --dry-run": (RUN, "", "--dry-run"),
    "run --out": (RUN.replace("made", "{}"), "made", "made2"),
    "score folder": (SCORE.replace("score sr", "score {}"), "sr", "sr2"),
    "score --hr": (FREE.replace("--hr hr", "--hr {}"), "hr", "hr2"),
    "score --protocol": (SCORE.replace("P.toml", "{}"), "P.toml", "Q.toml"),
    "score --lr": ("score sr --hr hr --metrics consistency --lr {}", "lr", "lr16"),
    "score --lr-names": ("score sr --hr hr --metrics consistency --lr mixed {}", "", "--lr-names x4"),
    "score --suffix": (FREE.replace("score sr", "score suffixed"), "", "--suffix _sr"),
    "score --pattern": (FREE.replace("score sr", "score suffixed"), "", "--pattern {name}_*.png"),
    "score --pairs": (FREE, "", "--pairs pairs.csv"),
    "score --label": (SCORE, "", "--label mine"),
    "score --json": (FREE, "", "--json"),
    "score --data": (SCORE.replace("data hr", "data {}"), "hr", "hr2"),
    "score --metrics": (FREE.replace("psnr", "{}"), "psnr", "psnr-y"),
    **_given(SCORE, "--attributes attributes.csv", "--limit 2", "--shard 1/2", "--cache store", "--workers 3", "--on slurm"),
    "score --device": (SCORE, "", Refused("--device gpu", "did you mean 'cpu'")),
    "score --slurm": (f"{SCORE} --on slurm", "", "--slurm timeout_min=7"),
    "score --dry-run": (SCORE, "", "--dry-run"),
    "score --out": (FREE, "", "--out cells.csv"),
    "merge out": ("merge {} shard1 shard2", "made", "made2"),
    "merge shards": ("merge made {}", "shard1 shard2", "shard2 shard1"),
    "merge --workers": ("merge made shard1 shard2", "", "--workers 3"),
    "watch run": ("watch {} --once", "run", "growing"),
    "watch --once": ("watch growing", "", "--once"),
    "watch --every": ("watch growing", "", "--every 7"),
    "table paths": ("table {}", "run", "scales"),
    "table --format": ("table run", "", "--format latex"),
    "table --scale": ("table scales", "", "--scale 4"),
    "table --study": (TABLE, "", "--study rated --simulated"),
    "table --preset": ("table rated --simulated", "", "--preset seed-table1"),
    **_given(TABLE, "--out t.md", "--full", "--methods nearest,bicubic", "--metrics psnr", "--where gender=f", "--intervals none"),
    **_given(TABLE, "--cost time,memory", "--notes none", "--digits 5", "--caption Mine", "--macros m.tex", "--bib b.bib"),
    "table --json": ("table run", "", "--json"),
    "table --peek": ("table half", "", "--peek"),
    "table --simulated": ("table rated", "", "--simulated"),
    **_given("table run --format latex", "--columns 2", "--label tab:mine", "--no-cite"),
    "table --by": ("table run", "", Refused("--by gender", "0 groups of 5 people")),
    "table --samples": ("table run --format md", "", Refused("--samples", "sample")),
    "site runs": ("site {} --out s", "run", "scales"),
    "site --out": ("site run --out {}", "s", "t"),
    "site --title": ("site run --out s", "", "--title Mine"),
    "report runs": ("report {} --out made --count 1", "run", "scales"),
    **_given(REPORT, "--methods nearest", "--metrics psnr", "--where gender=f", "--cost memory", "--faces 003", "--zoom 4,4,8"),
    "report --study": (REPORT, "", "--study rated --simulated"),
    "report --scale": (REPORT.replace("run", "scales", 1), "", "--scale 4"),
    "report --out": (REPORT.replace("made", "{}"), "made", "made2"),
    "report --count": (REPORT.replace("--count 1", "--count {}"), "1", "2"),
    "report --seed": (REPORT, "", "--seed 5"),
    "report --metric": (REPORT, "", "--metric consistency"),
    "report --pdf": (REPORT, "", "--pdf"),
    "report --peek": (f"{REPORT} --study half", "", "--peek"),
    "report --simulated": (f"{REPORT} --study rated", "", "--simulated"),
    "dashboard runs": ("dashboard {} --port 0", "run", "scales"),
    **_given("dashboard run", "--study rated", "--host 0.0.0.0", "--port 0", "--url https://lab.example/x", "--no-browser"),
    "check-claim --mos": (CLAIM.replace("3.70 3.60", "{}"), "3.70 3.60", "3.70 3.00"),
    "check-claim --raters": (CLAIM.replace("raters 40", "raters {}"), "40", "20"),
    "check-claim --images": (CLAIM.replace("images 40", "images {}"), "40", "20"),
    **_given(CLAIM, "--alpha 0.2", "--sd 0.3", "--names a b", "--scale 1 9", "--decimals 1", "--json"),
    **_given("protocols", "--json"),
    "protocols name": ("protocols", "", "demo-x8-128"),
    **_given("methods", "--json"),
    "methods name": ("methods", "", "pulse"),
    **_given("metrics", "--json"),
    "metrics name": ("metrics", "", "psnr"),
    "metrics files": ("metrics validate {} scores.csv", "ratings.csv", "ratings9.csv"),
    **_given(VALIDATE, "--format csv", "--alpha 1e-9", "--scale 1 9"),
    "metrics --higher": ("metrics validate ratings.csv odd.csv {}", "--lower odd", "--higher odd"),
    "metrics --lower": ("metrics validate ratings.csv odd.csv {}", "--higher odd", "--lower odd"),
    "metrics --peek": ("metrics validate half run", "", "--peek"),
    **how_ratings_are_read("metrics", VALIDATE),
    "metrics --pattern": (VALIDATE, "", Refused("--pattern (?P<condition>[a-z]+)-(?P<face>f[0-9])", "--pattern")),
    "data list --json": ("data list", "", "--json"),
    "data prepare dataset": (PREPARE.replace("mine", "{}"), "mine", "other"),
    "data prepare --from": (PREPARE.replace("from hr", "from {}"), "hr", "hr2"),
    "data prepare --size": (PREPARE.replace("--size 16", "{}"), "--size 16", "--size 8"),
    "data prepare --reduce": (PREPARE, "", "--reduce bicubic-matlab"),
    "data prepare --split": (PREPARE, "", Refused("--split test", "split")),
    "data prepare --mapping": (PREPARE, "", Refused("--mapping attributes.csv", "mapping")),
    "data prepare --align": (PREPARE, "", Refused("--align", "no face found")),
    "data prepare --column": (PREPARE, "", Refused("--column image", "--column")),
    "data prepare --landmarks": (PREPARE, "", Refused("--landmarks points.csv", "outside the photo")),
    "data prepare --out": (PREPARE.replace("made", "{}"), "made", "made2"),
    "data verify folder": ("data verify {}", "prepared", "touched"),
    "data verify --json": ("data verify prepared", "", "--json"),
    "weights list --missing": ("weights list", "", "--missing"),
    "weights list --json": ("weights list", "", "--json"),
    "weights fetch names": ("weights fetch {}", "nosuch", "nosuch2"),
    "weights verify names": ("weights verify {}", "psp-128", "fsrnet-x8-128"),
    "weights where names": ("weights where {}", "psp-128", "fsrnet-x8-128"),
    "export run": ("export {} --out made", "run", "scales"),
    "export --out": ("export run --out {}", "made", "made2"),
    **_given("export run --out made", "--hr", "--rocrate", "--every-eval-ever", "--license CC0-1.0"),
    **_given("export run --out made --rocrate", "--author Me", "--organization Ours"),
    "verify bundle": ("verify {}", "run", "touched-run"),
    **_given("verify run --data hr", "--sample all", "--json"),
    "verify --seed": ("verify run --data hr --sample 1 --seed {}", "1", "2"),
    "verify --record": ("verify run --data hr --sample 1 --seed 1", "", "--record r.json"),
    "verify --data": ("verify run --sample all", "", Refused("--data nosuch", "nosuch")),
    "verify --methods": ("verify noisy-run --data hr --sample all --seed 1", "", "--methods noisy=noisy.py:Noisy"),
    "verify --set": (
        "verify noisy-run --data hr --sample all --seed 1 --methods noisy=noisy.py:Noisy",
        "",
        "--set noisy.share=0.4",
    ),
    "reproduce bundle": ("reproduce {} --data hr", "run", "touched-run"),
    **_given("reproduce run --data hr", "--out again", "--workers 3", "--json"),
    "reproduce --device": ("reproduce run --data hr", "", Refused("--device gpu", "did you mean 'cpu'")),
    "reproduce --data": ("reproduce run", "", Refused("--data nosuch", "nosuch")),
    "reproduce --methods": ("reproduce noisy-run --data hr", "", "--methods noisy=noisy.py:Noisy"),
    "reproduce --set": ("reproduce noisy-run --data hr --methods noisy=noisy.py:Noisy", "", "--set noisy.share=0.4"),
    "data pack source": ("data pack {} --size 16 --out p.zip", "hr", "hr2"),
    "data pack --out": ("data pack hr --size 16 --out {}", "p.zip", "q.zip"),
    "data pack --size": ("data pack hr --out p.zip --size {}", "16", "32"),
    "data pack --quality": ("data pack hr --size 32 --out p.zip --quality {}", "92", "10"),
    "new kind": ("new {} mine", "method", "metric"),
    "new name": ("new method {}", "mine", "yours"),
    "new --out": ("new method mine", "", "--out folder"),
    "new --like": ("new protocol mine", "", "--like london-x8-128"),
    "doctor --json": ("doctor", "", "--json"),
    "completion shell": ("completion {}", "bash", "zsh"),
}
ELSEWHERE = {"train": "test_walk_train.py", "study": "test_walk_study.py"}
"""Commands whose options are walked in another file."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the words of ``CASES`` name."""
    home = tmp_path_factory.mktemp("world")
    make_world(home)
    return home


def test_the_walk_knows_every_option() -> None:
    """A new option needs a line in ``CASES``."""
    known = {place for place in options() if place.split()[0] not in ELSEWHERE}
    assert known == set(CASES)
    assert {place.split()[0] for place in options()} | {"completion"} == set(COMMANDS)


@pytest.fixture(scope="module")
def seen_before() -> dict[str, Seen]:
    """What the lines without the option gave."""
    return {}


LONG = ("report", "site", "export", "verify", "reproduce", "merge")
"""Commands whose options take seconds each."""


@pytest.mark.parametrize("option", [pytest.param(o, marks=pytest.mark.slow) if o.split()[0] in LONG else o for o in CASES])
def test_an_option_acts_or_is_refused(
    option: str,
    world: Path,
    seen_before: dict[str, Seen],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FACESR_DATA", "prepared-sets")
    monkeypatch.setenv("FACESR_RUNS", "")  # so that they are as before afterwards
    monkeypatch.setenv("FACESR_STUDIES", "")
    monkeypatch.setenv("FACESR_DASHBOARD", "")
    spies(monkeypatch)
    if option.startswith("dashboard"):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    acts(CASES[option], lambda line: look(line, world, tmp_path / "w", monkeypatch, capsys), seen_before, "watch" in option)
