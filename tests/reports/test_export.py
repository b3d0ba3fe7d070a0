"""``facesr export``: a bundle reads like the run it came from, names nothing of this machine, and its metadata keep their specifications."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb, write_png
from facesr.bench.results.sums import sums_problems
from facesr.cli import main
from helpers import TINY, faces

TEXTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
"""Free details of that schema: text only."""


def _needs(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _is(kind: str) -> dict[str, Any]:
    return {"type": kind}


BOUND = {"oneOf": [_is("number"), {"enum": ["Infinity", "-Infinity"]}, _is("null")]}
INTERVAL = _needs(
    "lower", "upper", lower=_is("number"), upper=_is("number"), confidence_level={"minimum": 0, "maximum": 1}, method=_is("string")
)
METRIC = _needs(
    "lower_is_better", "min_score", "max_score", metric_id=_is("string"), metric_name=_is("string"), metric_unit=_is("string"),
    lower_is_better=_is("boolean"), score_type={"enum": ["binary", "continuous", "levels"]}, min_score=BOUND, max_score=BOUND,
    metric_parameters={"additionalProperties": {"type": ["string", "number", "boolean", "null"]}}, additional_details=TEXTS,
)  # fmt: skip
RESULT = _needs(
    "evaluation_name", "source_data", "metric_config", "score_details", evaluation_result_id=_is("string"), metric_config=METRIC,
    source_data=_needs("dataset_name", "source_type", source_type={"const": "other"}, additional_details=TEXTS),
    score_details=_needs("score", score=_is("number"), details=TEXTS, uncertainty=_needs(confidence_interval=INTERVAL, num_samples=_is("integer"))),
)  # fmt: skip
MODEL = _needs(
    "name", "id", "additional_details",
    additional_details={
        **TEXTS, "required": ["deployment_type", "model_availability"],
        "properties": {"deployment_type": {"enum": ["self_deployed", "externally_managed", "unknown"]},
                       "model_availability": {"enum": ["open_weights", "closed_weights", "unknown"]}},
    },
)  # fmt: skip
SOURCE = _needs(
    "source_type", "source_organization_name", "evaluator_relationship", source_type={"enum": ["documentation", "evaluation_run"]},
    evaluator_relationship={"enum": ["first_party", "third_party", "collaborative", "other"]}, additional_details=TEXTS,
)  # fmt: skip
TOP = (
    "schema_version",
    "evaluation_id",
    "retrieved_timestamp",
    "source_metadata",
    "model_info",
    "eval_library",
    "evaluation_results",
)
SHARED = _needs(
    *TOP, schema_version={"const": "0.3.0"}, evaluation_id=_is("string"), retrieved_timestamp=_is("string"), evaluation_timestamp=_is("string"),
    source_metadata=SOURCE, model_info=MODEL, eval_library=_needs("name", "version", additional_details=TEXTS),
    evaluation_results={"type": "array", "items": RESULT, "minItems": 1},
) | {"additionalProperties": False}  # fmt: skip
"""What ``eval.schema.json`` 0.3.0 of every_eval_ever (sha256 c9c6195aec8a9dfa0b2aba4924ac1aa8a184c9d8ca97cee778cb531088e39b48) asks of the
fields written here: names, types and choices, transcribed from it."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of bicubic and of a folder in which one image is missing."""
    here = tmp_path_factory.mktemp("export")
    (here / "tiny.toml").write_text(TINY)
    faces(here / "hr", 4)
    theirs = here / "private" / "results of me"
    theirs.mkdir(parents=True)
    for file in sorted((here / "hr").iterdir())[1:]:
        write_png(theirs / file.name, np.roll(read_rgb(file), 1, axis=1))
    facesr.run(here / "tiny.toml", ["bicubic", f"mine=folder:{theirs}"], here / "run", data=here / "hr")
    return here


def test_a_bundle_is_the_run_without_the_machine(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = facesr.load(world / "run").export(tmp_path / "b")
    assert sums_problems(made.path) == []
    summed = shutil.which("sha256sum")
    assert summed is None or subprocess.run([summed, "-c", "--quiet", "SHA256SUMS"], cwd=made.path, check=False).returncode == 0
    texts = {p: p.read_bytes() for p in made.path.rglob("*") if p.is_file()}
    assert made.files == len(texts)
    private = str(world).encode()
    assert [p for p, data in texts.items() if private in data] == []
    assert not (made.path / "hr").exists()
    assert "HR images are not in it" in made.remarks[0]
    monkeypatch.chdir(tmp_path)  # nothing of where the run lay is needed
    run, bundle = facesr.load(world / "run"), facesr.load("b")
    assert bundle.scores.equals(run.scores)
    assert bundle.folder.digest == run.folder.digest
    assert bundle.table().csv() == run.table().csv()
    with (made.path / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["value"]) for r in rows if r["value"]] == [v for v in run.scores["value"] if v == v]
    lost = {(r["image"], r["method"], r["metric"], r["status"]) for r in rows if r["status"] != "ok"}
    assert lost == {("000", "mine", m, "missing") for m in ("psnr", "ssim", "consistency", "consistency-pass")}
    os.chmod(made.path, 0o555)  # noqa: PTH101 (a bundle on a medium that cannot be written is read too)
    assert len(list(bundle.folder.hashes())) == 4 + 4 + 3
    os.chmod(made.path, 0o755)  # noqa: PTH101


def test_an_archive_holds_the_same_files_with_hr(world: Path, tmp_path: Path) -> None:
    assert main(["export", str(world / "run"), "--out", str(tmp_path / "b.zip"), "--hr"]) == 0
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "out")
    assert sorted(names) == names
    assert {n.split("/")[1] for n in names} == {
        "README.md",
        "SHA256SUMS",
        "cells.sqlite",
        "hr",
        "lr",
        "run.json",
        "scores.csv",
        "scores.parquet",
        "sr",
    }
    folder = tmp_path / "out" / "b"
    assert sums_problems(folder) == []
    run = facesr.load(folder).folder
    assert all(
        hashlib.sha256(run.hr_path(f.name).read_bytes()).hexdigest() == f.sha256 and run.hr_path(f.name).is_relative_to(folder)
        for f in run.faces
    )


def test_the_crate_describes_what_is_there(world: Path, tmp_path: Path) -> None:
    made = facesr.load(world / "run").export(
        tmp_path / "b", rocrate=True, every_eval_ever=True, licence="CC-BY-4.0", authors=["A. Name"], organization="Somewhere"
    )
    plain = json.loads((made.path / "ro-crate-metadata.json").read_text())
    graph = {e["@id"]: e for e in plain["@graph"]}
    assert len(graph) == len(plain["@graph"])
    assert plain["@context"] == "https://w3id.org/ro/crate/1.1/context"
    descriptor, root = graph["ro-crate-metadata.json"], graph["./"]
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert descriptor["about"] == {"@id": "./"}
    assert all(root.get(key) for key in ("name", "description", "datePublished", "license", "hasPart"))
    assert root["license"] == {"@id": "https://spdx.org/licenses/CC-BY-4.0"}
    for part in (graph[p["@id"]] for p in root["hasPart"]):
        place = made.path / part["@id"]
        assert place.is_dir() if part["@type"] == "Dataset" else hashlib.sha256(place.read_bytes()).hexdigest() == part["sha256"]
    links = [
        v["@id"] for e in graph.values() for vs in e.values() for v in (vs if isinstance(vs, list) else [vs]) if isinstance(v, dict)
    ]
    assert [link for link in links if link not in graph and not link.startswith("https://w3id.org/ro/crate/")] == []
    unsaid = facesr.load(world / "run").export(tmp_path / "c", rocrate=True)
    assert "no licence is stated" in (unsaid.path / "ro-crate-metadata.json").read_text()


def test_means_keep_the_shared_schema(world: Path, tmp_path: Path) -> None:
    made = facesr.load(world / "run").export(tmp_path / "b", every_eval_ever=True)
    files = sorted((made.path / "every_eval_ever" / "data" / "tiny-x8" / "unknown").glob("*/*.json"))
    assert [f.parent.name for f in files] == ["bicubic", "mine"]
    cells = {(c.method, c.metric): c for c in facesr.load(world / "run").table().cells}
    for file in files:
        record = json.loads(file.read_text())
        jsonschema.Draft7Validator(SHARED).validate(record)
        for result in record["evaluation_results"]:
            cell = cells[record["model_info"]["name"], result["metric_config"]["metric_id"]]
            score = result["score_details"]
            assert (score["score"], score["uncertainty"]["num_samples"], score["details"]["failed"]) == (
                cell.mean,
                cell.n,
                str(cell.failed),
            )


def test_what_cannot_be_exported_is_refused(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = shutil.copytree(world / "run", tmp_path / "changed")
    write_png(changed / "sr" / "bicubic" / "002.png", np.zeros((64, 64, 3), np.uint8))
    assert main(["export", str(changed), "--out", str(tmp_path / "no")]) == 2
    assert "sr/bicubic/002.png" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
    assert main(["export", str(world / "run"), "--out", str(changed)]) == 2
    assert "there already" in capsys.readouterr().err
    assert main(["export", str(world / "run"), "--out", str(tmp_path / "no"), "--author", "me"]) == 2
    info = json.loads((changed / "run.json").read_text())
    (changed / "run.json").write_text(json.dumps(info | {"state": "running"}))
    with pytest.raises(FaceSRError, match="not finished"):
        facesr.load(changed).export(tmp_path / "no")
