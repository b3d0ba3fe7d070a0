"""``facesr verify`` and ``facesr reproduce``: forged submissions are found, honest ones are not accused, and nothing of a stranger's is run."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import facesr
from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb, write_png
from facesr.bench.protocol import Protocol
from facesr.bench.reading import file_sha256
from facesr.bench.results import load_run
from facesr.bench.results.cells import Cells, LrCell, ScoreCell, SrCell
from facesr.bench.results.run import score_rows
from facesr.bench.results.sums import sums_of
from facesr.bench.results.table import write_scores
from facesr.bench.run.plan import identity_of, run_digest
from facesr.bench.tables import write_csv
from facesr.bench.verify import sampling
from facesr.cli import main
from helpers import TINY, faces

FACES, CHANGED, DRAWN = 20, 5, 10
"""Who changed 5 of 20 faces is missed by 10 drawn with probability C(15, 10) / C(20, 10) = .016."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces, and the bundle of a run of bicubic, nearest and somebody's finished images."""
    here = tmp_path_factory.mktemp("verify")
    (here / "tiny.toml").write_text(TINY)
    faces(here / "hr", FACES)
    (here / "theirs").mkdir()
    rng = np.random.default_rng(0)
    for file in (here / "hr").iterdir():
        noise = rng.normal(0, 12, (64, 64, 3))
        write_png(here / "theirs" / file.name, np.clip(read_rgb(file) + noise, 0, 255).astype(np.uint8))
    run = facesr.run(here / "tiny.toml", ["bicubic", "nearest", f"mine=folder:{here / 'theirs'}"], here / "run", data=here / "hr")
    run.export(here / "bundle")
    return here


# -- forging: whatever follows from the cells and files is made anew, as a forger would ------------------------------------------


def _forged(folder: Path) -> None:
    """Tables and sums that follow from the cells and files as they are now."""
    run = load_run(folder)
    with Cells(folder, write=True) as cells:
        write_scores(folder, score_rows(run.info, cells))
        cells.settle()
    write_csv(folder / "scores.csv", run.scores())
    (folder / "SHA256SUMS").write_text(sums_of(folder))


def _info(folder: Path, change: Callable[[dict[str, Any]], None], digest: bool = True) -> None:
    """``run.json`` changed, its digest recomputed."""
    plain = json.loads((folder / "run.json").read_text())
    change(plain)
    (folder / "run.json").write_text(json.dumps(plain))
    if digest:
        protocol = from_table(Protocol, plain["protocol"], "forged")
        plain["digest"] = run_digest(protocol, [identity_of(f) for f in load_run(folder).faces])
        (folder / "run.json").write_text(json.dumps(plain))


def _scores(folder: Path, names: list[str], change: Callable[[ScoreCell], ScoreCell], **where: str) -> None:
    with Cells(folder, write=True) as cells:
        cells.put([change(c) for c in cells.rows(ScoreCell, **where) if c.image in names])


def _exchanged(folder: Path, names: list[str], method: str, image: Callable[[str], Any]) -> None:
    """SR images exchanged, with their digests."""
    with Cells(folder, write=True) as cells:
        for name in names:
            file = folder / "sr" / method / f"{name}.png"
            write_png(file, image(name))
            cells.put([c._replace(sha256=file_sha256(file)) for c in cells.rows(SrCell, method=method, image=name)])


def _drop(folder: Path, where: str) -> None:
    """Rows of the cells' database taken out."""
    import sqlite3

    with sqlite3.connect(folder / "cells.sqlite") as db:
        for table in ("score", "restored", "degraded"):
            if table == "score" or "metric" not in where:
                db.execute(f"DELETE FROM {table} WHERE {where}")
    db.close()


def _factor(times: float) -> Callable[[ScoreCell], ScoreCell]:
    return lambda c: c._replace(value=(c.value or 0) * times)


def _forge_scores(kind: str, folder: Path, some: list[str], method: str) -> None:
    gone = {"status": "no_face", "reason": "no face was found in the SR image", "value": None}
    change, metric = {
        "scores raised": (_factor(1.02), "psnr"),
        "scores raised a little": (_factor(1.005), "psnr"),
        "ssim nudged": (lambda c: c._replace(value=c.value + 0.004), "ssim"),
        "failure invented": (lambda c: c._replace(**gone), "psnr"),  # the worst faces leave the mean
        "interval given": (lambda c: c._replace(low=1.0, high=2.0), "psnr"),
    }[kind]
    _scores(folder, some, change, method=method, metric=metric)


def _forge_images(kind: str, folder: Path, hr: Path, some: list[str], method: str) -> None:
    if kind == "hr handed in":  # digests fit, scores are the old ones
        _exchanged(folder, some, method, lambda n: read_rgb(hr / f"{n}.png"))
    elif kind == "image of another size":
        _exchanged(folder, some, method, lambda n: np.zeros((32, 32, 3), np.uint8))
    elif kind == "image of another face":
        shutil.copy(folder / "sr" / method / f"{some[0]}.png", folder / "sr" / method / f"{some[1]}.png")
    elif kind == "easier LR":
        with Cells(folder, write=True) as cells:
            for name in some:
                file = folder / "lr" / f"{name}.png"
                write_png(file, read_rgb(hr / f"{name}.png")[::8, ::8])
                cells.put([c._replace(sha256=file_sha256(file)) for c in cells.rows(LrCell, image=name)])
    else:  # everything fits but the method: the images of another, with their scores
        names, pairs = {
            "better images": (some, {"bicubic": "mine"}),
            "images of two methods swapped": ([f.stem for f in hr.iterdir()], {"bicubic": "nearest", "nearest": "bicubic"}),
        }[kind]
        held = {(m, n): read_rgb(folder / "sr" / m / f"{n}.png") for m in pairs.values() for n in names}
        for mine, other in pairs.items():
            _exchanged(folder, names, mine, lambda n, other=other: held[other, n])
        with Cells(folder, write=True) as cells:
            rows = [c for c in cells.rows(ScoreCell) if c.image in names]
            cells.put([c._replace(method=mine) for mine, other in pairs.items() for c in rows if c.method == other])


def _forge_facts(kind: str, folder: Path, names: list[str], one: str, method: str) -> None:
    if kind == "score dropped":
        _drop(folder, f"image = '{one}' AND method = '{method}' AND metric = 'psnr'")
    elif kind == "face dropped":
        one = one if one != names[-1] else names[0]  # without the last one it is an honest --limit, and has that digest
        _drop(folder, f"image = '{one}'")
        _info(
            folder,
            lambda p: p.update(faces=[f for f in p["faces"] if f["name"] != one], data={**p["data"], "faces": 19, "total": 19}),
        )
    elif kind == "easier HR":
        _info(folder, lambda p: p["faces"][names.index(one)].update(sha256="0" * 64))
    elif kind == "metric turned round":
        lies: tuple[dict[str, Any], ...] = ({"higher_is_better": False}, {"label": "PSNR-HVS"}, {"unit": ""}, {"range": [0, 200]})
        _info(folder, lambda p: p["metrics"]["psnr"].update(lies[names.index(one) % len(lies)]))
    elif kind == "protocol loosened":
        _info(folder, lambda p: p["protocol"]["consistency"].update(epsilon=0.01), digest=False)
    elif kind == "weights claimed":
        _info(folder, lambda p: p["methods"][0].update(weights={"ours.safetensors": "a" * 64}))


def _forge_tables(kind: str, folder: Path, rng: random.Random) -> None:
    frame = load_run(folder).scores()
    if kind == "table alone":
        frame.loc[rng.randrange(len(frame)), "value"] += 0.01
        frame.to_parquet(folder / "scores.parquet")
    elif kind == "row twice":
        pd.concat([frame, frame.iloc[[rng.randrange(len(frame))]]]).to_parquet(folder / "scores.parquet")
    elif kind == "csv alone":
        frame.loc[rng.randrange(len(frame)), "value"] += 0.01
        write_csv(folder / "scores.csv", frame)


SCORES = ("scores raised", "scores raised a little", "ssim nudged", "failure invented", "interval given")
IMAGES = (
    "hr handed in",
    "better images",
    "images of two methods swapped",
    "image of another face",
    "image of another size",
    "easier LR",
)
FACTS = ("score dropped", "face dropped", "easier HR", "metric turned round", "protocol loosened", "weights claimed")
TABLES = ("table alone", "csv alone", "row twice")
KINDS = (*SCORES, *IMAGES, *FACTS, *TABLES)


def forge(kind: str, folder: Path, hr: Path, rng: random.Random) -> None:
    """Tamper with a bundle in one of the ways of ``KINDS``; tables, checksums and digests are forged too unless the kind is about them."""
    names = sorted(f.stem for f in hr.iterdir())
    some, one, method = rng.sample(names, CHANGED), rng.choice(names), rng.choice(["bicubic", "nearest", "mine"])
    if kind in SCORES:
        _forge_scores(kind, folder, some, method)
    elif kind in IMAGES:
        _forge_images(kind, folder, hr, some, method)
    elif kind in FACTS:
        _forge_facts(kind, folder, names, one, method)
    _forged(folder)
    _forge_tables(kind, folder, rng)
    (folder / "SHA256SUMS").write_text(sums_of(folder))


def _campaign(world: Path, place: Path, rounds: int) -> Counter[tuple[str, bool]]:
    caught: Counter[tuple[str, bool]] = Counter()
    for number in range(rounds):
        kind = KINDS[number % len(KINDS)]
        folder = shutil.copytree(world / "bundle", place / "forged")
        forge(kind, folder, world / "hr", random.Random(number))
        record = facesr.verify(folder, str(DRAWN), data=world / "hr", seed=number * 7919)
        caught[kind, not record.clean] += 1
        shutil.rmtree(folder)
    return caught


def test_forgers_are_found(world: Path, tmp_path: Path) -> None:
    caught = _campaign(world, tmp_path, len(KINDS))
    assert sum(n for (_, found), n in caught.items() if found) >= 0.95 * len(KINDS), caught


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_hundred_forgers(world: Path, tmp_path: Path) -> None:
    caught = _campaign(world, tmp_path, 200)
    missed = {kind: n for (kind, found), n in caught.items() if not found}
    print(f"caught {200 - sum(missed.values())} of 200; missed {missed}")
    assert sum(missed.values()) <= 10, missed


def _honest(world: Path, place: Path, seed: int) -> Path:
    """The same run from a machine that rounds differently: a level here and there in the images, the last digits of the scores."""
    rng = np.random.default_rng(seed)
    for method in ("bicubic", "nearest"):
        (place / method).mkdir(parents=True)
        for file in (world / "bundle" / "sr" / method).iterdir():
            off = rng.choice([-1, 0, 1], (64, 64, 3), p=[0.005, 0.99, 0.005])
            write_png(place / method / file.name, np.clip(read_rgb(file) + off, 0, 255).astype(np.uint8))
    names = [*(f"{m}=folder:{place / m}" for m in ("bicubic", "nearest")), f"mine=folder:{world / 'theirs'}"]
    run = facesr.run(world / "tiny.toml", names, place / "run", data=world / "hr")
    bundle = run.export(place / "bundle").path
    known = json.loads((world / "bundle" / "run.json").read_text())["methods"]
    _info(bundle, lambda p: p.update(methods=known))
    everyone = [f.name for f in load_run(bundle).faces]
    _scores(bundle, everyone, lambda c: c._replace(value=c.value and c.value * (1 + rng.uniform(-2e-4, 2e-4))), metric="psnr")
    _forged(bundle)
    return bundle


def test_honest_ones_are_not_accused(world: Path, tmp_path: Path) -> None:
    assert facesr.verify(world / "bundle", "all", data=world / "hr").findings == ()
    for seed in range(2):
        record = facesr.verify(_honest(world, tmp_path / str(seed), seed), "all", data=world / "hr")
        assert record.findings == ()
        assert record.images is not None
        assert record.images["within tolerance"] >= 30
    some = facesr.run(world / "tiny.toml", ["bicubic"], tmp_path / "some", data=world / "hr", limit=7)
    record = facesr.verify(some.path, "all", data=world / "hr")
    assert record.findings == ()
    assert any("7 of the data set's 20 faces" in r for r in record.remarks)


def test_what_a_sample_finds() -> None:
    for total, changed, drawn in ((20, 5, 10), (1000, 30, 95), (2824, 28, 29), (8, 1, 8), (50, 50, 1)):
        exact = 1 - scipy.stats.hypergeom.pmf(0, total, changed, drawn)
        assert sampling.chance_found(total, changed, drawn) == pytest.approx(exact, abs=1e-9)
    assert (
        sampling.faces_needed(100_000, 1000) == 298
    )  # the rule of three: 3 / 1 %, and .95 exactly at log .05 / log .99 = 298.1 with replacement
    assert sampling.changes_found(20, 10) == 4
    assert sampling.sample_size("1%", 2824) == 29
    assert (sampling.sample_size("1%", 20), sampling.sample_size("all", 20), sampling.sample_size("60", 20)) == (1, 20, 20)
    for wrong in ("0", "0%", "101%", "some", "-3", "1.5"):
        with pytest.raises(FaceSRError, match="--sample"):
            sampling.sample_size(wrong, 20)
    seeds = {sampling.draw_faces([str(i) for i in range(50)], 5)[0] for _ in range(20)}
    assert len(seeds) == 20
    assert sampling.draw_faces(["a", "b", "c"], 2, 5) == sampling.draw_faces(["c", "b", "a"][::-1], 2, 5)


def test_a_bundle_is_reproduced_elsewhere(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facesr.load(world / "run").export(tmp_path / "b.zip", hr=True)
    assert main(["reproduce", str(tmp_path / "b.zip"), "--out", str(tmp_path / "again"), "--workers", "1", "-q", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {m["label"]: m["verdict"] for m in found["methods"]} == {
        "bicubic": "identical",
        "nearest": "identical",
        "mine": "scores only",
    }
    assert found["methods"][0]["scores"] == {"identical": 4 * FACES}
    assert any("submission's own" in r for r in found["remarks"])  # its HR came along
    theirs = f"mine=folder:{world / 'theirs'}"
    again = facesr.reproduce(tmp_path / "b.zip", data=world / "hr", methods=[theirs])
    assert again.reproduced
    assert [m.verdict for m in again.methods] == ["identical"] * 3
    assert (
        facesr.load(tmp_path / "again").table(methods=["bicubic"]).csv()
        == facesr.load(world / "run").table(methods=["bicubic"]).csv()
    )
    with pytest.raises(FaceSRError, match="there already"):
        facesr.reproduce(tmp_path / "b.zip", tmp_path / "again", data=world / "hr")
    with pytest.raises(FaceSRError, match="no HR of its faces is here"):
        facesr.reproduce(world / "bundle")


def test_what_is_different_is_said(world: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(world / "bundle", tmp_path / "b")
    _scores(folder, ["003"], _factor(1.1), method="nearest", metric="psnr")
    _forged(folder)
    found = facesr.reproduce(folder, data=world / "hr")
    assert [m.verdict for m in found.methods] == ["identical", "different", "scores only"]
    assert "psnr of nearest ×8, 003" in found.methods[1].why
    assert not found.reproduced


def test_nothing_of_a_strangers_is_imported(world: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(world / "bundle", tmp_path / "b")
    trap = tmp_path / "trap.py"
    trap.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'sprung')!r}).touch()\n")

    def change(plain: dict[str, Any]) -> None:
        plain["methods"][0]["target"] = f"{trap}:Mine"
        plain["methods"][1]["target"] = "trap:Mine"
        plain["protocol"]["metrics"].append({"name": f"{trap}:Metric", "conventions": {}})
        plain["metrics"][f"{trap}:Metric"] = {"label": "mine", "range": [0, 1]}

    _info(folder, change)
    _forged(folder)
    record = facesr.verify(folder, "all", data=world / "hr")
    found = facesr.reproduce(folder, data=world / "hr")
    assert not (tmp_path / "sprung").exists()
    assert not record.clean  # the grid lacks the cells of that metric
    assert [m.verdict for m in found.methods] == ["scores only"] * 3
    assert any("not installed here" in r for r in record.remarks)


def test_archives_cannot_lead_out(world: Path, tmp_path: Path) -> None:
    good = facesr.load(world / "run").export(tmp_path / "good.zip").path
    for name in ("../out.txt", "/tmp/see-out.txt", "good/../../out.txt", "good\\..\\out", "C:out"):
        bad = shutil.copy(good, tmp_path / "bad.zip")
        with zipfile.ZipFile(bad, "a") as archive:
            archive.writestr(zipfile.ZipInfo(name), "x")
        with pytest.raises(FaceSRError, match="leads out of it"):
            facesr.verify(bad)
    link = zipfile.ZipInfo("good/sr/bicubic/link.png")
    link.external_attr = 0o120777 << 16
    bad = shutil.copy(good, tmp_path / "bad.zip")
    with zipfile.ZipFile(bad, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(FaceSRError, match="a link inside"):
        facesr.verify(bad)
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    for path in (tmp_path / "no.zip", tmp_path / "nowhere", tmp_path):
        with pytest.raises(FaceSRError):
            facesr.verify(path)


def test_the_commands_and_the_record(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--data", str(world / "hr"), "-q"]
    assert (
        main(["verify", str(world / "bundle"), "--sample", "5", "--seed", "3", "--record", str(tmp_path / "v.json"), *common]) == 0
    )
    out = capsys.readouterr().out
    assert "Nothing is wrong" in out
    assert "5 of 20 faces were drawn" in out
    record = json.loads((tmp_path / "v.json").read_text())
    assert record["seed"] == 3
    assert len(record["drawn"]) == 5
    assert record["bundle"] == file_sha256(world / "bundle" / "SHA256SUMS")
    folder = shutil.copytree(world / "bundle", tmp_path / "b")
    (folder / "lr" / "004.png").unlink()
    assert main(["verify", str(folder), "-q"]) == 1
    assert "FOUND: lr/004.png is named in SHA256SUMS and not there" in capsys.readouterr().out
    assert main(["verify", str(folder), "--seed", "3"]) == 2
    assert main(["verify", str(folder), "--sample", "2", "--methods", "other=bicubic", *common]) == 2
    assert "no method 'other'" in capsys.readouterr().err
