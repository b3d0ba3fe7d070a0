"""Every option of every command but ``study`` and ``train``, given once: what the command prints or writes differs, or it is refused.

The walk fails when an option is added that it does not know. ``{}`` in a line is where the words before and after go (else at its end).
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from looking import Refused, Seen, look, options

from facesr.bench.imaging import read_rgb, write_png
from facesr.bench.imaging.lowres import degrade
from facesr.cli import COMMANDS, main
from helpers import faces

P = """
name = "tiny-x4"
version = 1
[data]
dataset = "nowhere"
split = "all"
size = 32
[degradation]
kernel = "bicubic-matlab"
scale = 4
[[metric]]
name = "psnr"
[[metric]]
name = "consistency"
"""
NOISY = '''
import numpy as np, torch
from facesr.bench.imaging import resize
from facesr.bench.method import Method
class Noisy(Method):
    """Draws noise by the seed."""
    def __init__(self, *, share=0.1, **common):
        super().__init__(**common)
        self.share = float(share)
    def restore(self, lr, names=()):
        torch.manual_seed(self.seed)
        return (resize(lr, self.size, "bicubic-matlab") + self.share * torch.rand(1, 3, self.size, self.size, device=lr.device)).clamp(0, 1)
'''
RUN = "run P.toml --data hr --methods bicubic --metrics psnr --out made"
SCORE = "score sr --protocol P.toml --data hr --metrics psnr --out made"
FREE = "score sr --hr hr --metrics psnr"
TABLE = "table run --format md"
REPORT = "report run --out made --count 1"
CLAIM = "check-claim --mos 3.70 3.60 --raters 40 --images 40"
VALIDATE = "metrics validate ratings.csv scores.csv"
PREPARE = "data prepare mine --from hr --size 16 --out made"


Case = tuple[str, str, str | Refused]
"""A line, the words without the option, and the words with it."""


def _given(line: str, *words: str) -> dict[str, Case]:
    """Options of one line that are simply added to it: ``--limit 1``."""
    return {f"{line.split(maxsplit=1)[0]} {word.split()[0]}": (line, "", word) for word in words}


def how_ratings_are_read(command: str, line: str) -> dict[str, Case]:
    """The options by which a file of ratings is read; ``line`` reads ``ratings.csv``, the others are files that need the option."""

    def of(name: str) -> str:
        return line.replace("ratings.csv", f"{name}.csv")

    return {
        f"{command} --map": (of("named"), "", "--map score=second"),
        f"{command} --labels": (of("words"), "", "--labels awful=1,poor=2,fair=3,good=4,great=5"),
        f"{command} --missing": (line, "", "--missing 3"),
        f"{command} --reverse": (line, "", "--reverse"),
        f"{command} --layout": (line, "", Refused("--layout nosuch", "nosuch")),
        f"{command} --sheet": (line, "", Refused("--sheet second", "sheet")),
        f"{command} --rating-type": (of("kinds"), "", Refused("--rating-type beauty", "of an AVrate file")),
    }


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
ELSEWHERE = {"train": "tests/methods/training/test_training.py", "study": "test_walk_study.py"}
"""Commands whose options are not walked here. Those of ``train``, and the keys of recipes, are tested where training is, not walked one by one."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything that the words of ``CASES`` name."""
    home = tmp_path_factory.mktemp("world")
    make_world(home)
    return home


def make_faces(home: Path, count: int = 4) -> None:
    """HR, LR and finished images."""
    faces(home / "hr", count, 32)
    faces(home / "hr2", 3, 32)
    faces(home / "photos", 2, 64)
    for name, side in (("lr", 8), ("lr16", 16), ("sr", 32), ("sr2", 32), ("suffixed", 32), ("named", 8)):
        (home / name).mkdir()
        for file in sorted((home / "hr").iterdir()):
            small = degrade(read_rgb(file), 8 if side == 32 else side, "box", True)
            image = small if side < 32 else np.kron(small, np.ones((4, 4, 1), np.uint8))
            image = image // 2 if name == "sr2" else image
            suffix = {"suffixed": "_sr", "named": "x4"}.get(name, "")
            write_png(home / name / f"{file.stem}{suffix}.png", image)
    shutil.copytree(home / "named", home / "mixed")
    shutil.copy(home / "lr/000.png", home / "mixed/000.png")


def make_world(home: Path) -> None:
    """Faces, finished images, runs, studies and tables."""
    make_faces(home)
    (home / "P.toml").write_text(P)
    (home / "Q.toml").write_text(P.replace('name = "tiny-x4"', 'name = "other"').replace("scale = 4", "scale = 2"))
    (home / "S.toml").write_text(P.replace("scale = 4", "scale = [2, 4]"))
    (home / "noisy.py").write_text(NOISY)
    (home / "attributes.csv").write_text("image,gender,person\n000,f,a\n001,f,a\n002,m,b\n003,m,b\n")
    (home / "pairs.csv").write_text("name,file\n" + "".join(f"{i:03d},{(i + 1) % 4:03d}.png\n" for i in range(4)))
    (home / "points.csv").write_text(
        "file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n" + "".join(f"{i:03d}.png,10,12,22,12,16,18,11,24,21,24\n" for i in range(4))
    )
    base = ["run", str(home / "P.toml"), "--data", str(home / "hr"), "--methods", "bicubic,nearest", "-q"]
    base += ["--attributes", str(home / "attributes.csv")]
    assert main([*base, "--out", str(home / "run")]) == 0
    assert main(["run", str(home / "S.toml"), *base[2:], "--out", str(home / "scales")]) == 0
    for i in (1, 2):
        assert main([*base, "--shard", f"{i}/2", "--out", str(home / f"shard{i}")]) == 0
    shutil.copytree(home / "run", home / "growing")
    shutil.copytree(home / "run", home / "touched-run")
    write_png(home / "touched-run/sr/nearest/001.png", np.zeros((32, 32, 3), np.uint8))
    assert main([*base[:4], "--methods", f"noisy={home / 'noisy.py'}:Noisy", "-q", "--out", str(home / "noisy-run")]) == 0
    info = (home / "growing/run.json").read_text()
    (home / "growing/run.json").write_text(info.replace('"state": "finished"', '"state": "running"'))
    create = ["study", "create", str(home / "run"), "--raters", "3", "--images", "3", "--anchors", "0", "--gap", "1"]
    for name in ("rated", "half"):
        assert main([*create, "--outside-epsilon", "flag", "--out", str(home / name)]) == 0
    assert main(["study", "simulate", str(home / "rated")]) == 0
    for name in ("prepared", "touched"):
        assert main(["data", "prepare", "mine", "--from", str(home / "hr"), "--size", "16", "--out", str(home / name)]) == 0
    write_png(home / "touched/images/000.png", np.zeros((16, 16, 3), np.uint8))
    one_person(home / "half")
    tables(home)


def one_person(folder: Path) -> None:
    """Of three raters one has finished."""
    from sqlalchemy import select

    from facesr.bench.study import load_study, store
    from facesr.bench.study import tables as t

    study = load_study(folder)
    rater, _ = store.seat_rater(study.engine, rows=3)
    store.consent(study.engine, rater, "en")
    with study.engine.connect() as connection:
        plan = connection.execute(select(t.plan).where(t.plan.c.row == rater.row).order_by(t.plan.c.position)).all()
    for item in plan:
        assert store.rate(study.engine, rater, item.position, 1 + item.position % 5, rt_ms=3000).stored
    study.close()


def tables(home: Path) -> None:
    """Ratings of six people and scores of three methods, in several dialects."""
    rng = np.random.default_rng(0)
    words = {1: "awful", 2: "poor", 3: "fair", 4: "good", 5: "great"}
    lines: dict[str, list[str]] = {name: [] for name in ("ratings", "ratings9", "named", "words", "files", "kinds")}
    scores, odd = ["face,method,psnr"], ["face,method,odd"]
    for f in range(8):
        for c, method in enumerate(("bicubic", "psp", "pulse")):
            scores.append(f"f{f},{method},{20 + c + rng.normal():.3f}")
            odd.append(f"f{f},{method},{rng.random():.3f}")
            for r in range(6):
                g = int(np.clip(round(2 + c + rng.normal()), 1, 5))
                lines["ratings"].append(f"r{r},f{f},{method},{g}")
                lines["ratings9"].append(f"r{r},f{f},{method},{6 - g}")
                lines["named"].append(f"r{r},f{f},{method},{g},{6 - g}")
                lines["words"].append(f"r{r},f{f},{method},{words[g]}")
                lines["files"].append(f"r{r},out/{method}-f{f}-x.png,{g}")
                lines["kinds"] += [f"r{r},f{f},{method},{kind},{s}" for kind, s in (("beauty", g), ("likeness", 6 - g))]
    (home / "scores.csv").write_text("\n".join(scores))
    (home / "odd.csv").write_text("\n".join(odd))
    heads = {
        "named": "rater,face,condition,score,second",
        "files": "rater,file,score",
        "kinds": "rater,face,condition,rating_type,score",
    }
    for name, rows in lines.items():
        (home / f"{name}.csv").write_text("\n".join([heads.get(name, "rater,face,condition,score"), *rows]))


class Timer:
    """Stands for a clock that opens the browser."""

    def __init__(self, args: tuple[object, ...]) -> None:
        self.args = args

    def start(self) -> None:
        print("browser", *self.args)


class Listener(tuple[str, int]):
    """Stands for a socket."""

    def getsockname(self) -> tuple[str, int]:
        return self


def spies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers, clusters, clocks and other programs say what they were asked for and end."""
    import threading
    import time

    from facesr.bench.run import clusters, workers
    from facesr.bench.run.device import gpus
    from facesr.bench.run.workers import Here
    from facesr.cli import dashboard
    from facesr.dashboard import serve
    from facesr.reports import paper

    def said(name: str, result: object = None) -> object:
        def call(*args: object, **options: object) -> object:
            shown = [a for a in args if isinstance(a, int | float | str | dict)]
            print(name, *shown, *options.items())
            if isinstance(result, BaseException):
                raise result
            return result() if callable(result) else result

        return call

    def team(count: int | None, device: str = "cpu") -> Here:
        gpus(device)
        print("workers", count, device)
        return Here()

    monkeypatch.setattr(clusters, "make_workers", team)
    monkeypatch.setattr(workers, "make_workers", team)
    monkeypatch.setattr(clusters, "OnSlurm", said("slurm", Here))
    monkeypatch.setattr(clusters, "OnRay", said("ray", Here))
    monkeypatch.setattr(paper, "compile_paper", said("pdf"))
    monkeypatch.setattr(dashboard, "dashboard_app", said("pages", str))
    monkeypatch.setattr(
        dashboard, "serve_on", lambda app, at: print("serves", at, os.environ["FACESR_RUNS"], os.environ["FACESR_STUDIES"])
    )
    monkeypatch.setattr(dashboard, "_listen", lambda name, port: Listener((name, port)))
    monkeypatch.setattr(threading, "Timer", lambda wait, act, args: Timer(args))
    monkeypatch.setattr(serve, "study_app", lambda study, **options: print("app", study.path, *sorted(options.items())))
    monkeypatch.setattr(serve, "serve", said("serves"))
    monkeypatch.setenv("FACESR_ADMIN_PASSWORD", "a password")
    monkeypatch.setattr(time, "sleep", said("slept", KeyboardInterrupt()))


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
    line, before, after = CASES[option]

    def of(words: str) -> Seen:
        whole = line.replace("{}", words, 1) if "{}" in line else f"{line} {words}".strip()
        return look(whole, world, tmp_path / "w", monkeypatch, capsys)

    monkeypatch.setenv("FACESR_DATA", "prepared-sets")
    monkeypatch.setenv("FACESR_RUNS", "")  # so that they are as before afterwards
    monkeypatch.setenv("FACESR_STUDIES", "")
    monkeypatch.setenv("FACESR_DASHBOARD", "")
    spies(monkeypatch)
    if option.startswith("dashboard"):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    if isinstance(after, Refused):
        found = of(after.words)
        assert found.code == 2 and after.says in found.said, found.said
        return
    key = f"{line} | {before}"
    if key not in seen_before:
        seen_before[key] = of(before)
        assert of(before) == seen_before[key], "a line that is different each time shows nothing"
    found = of(after)
    assert found.code != 2 or "watch" in option, found.said
    assert found != seen_before[key], f"{option} is accepted and does nothing:\n{found.said}"
