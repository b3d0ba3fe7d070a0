"""The pages without a browser: every state of a run gives a page or a sentence, never a traceback."""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from facesr.bench.errors import FaceSRError
from facesr.bench.registry import method_specs
from facesr.bench.results import again, load_run, progress
from facesr.bench.run.live import Notes
from facesr.bench.study.simulate import simulate
from facesr.cli import run as cli_run
from facesr.dashboard.images import face_png, figure_url, find_run
from facesr.dashboard.memo import memo
from facesr.dashboard.sources import distinct, open_run, open_sources, run_key
from facesr.dashboard.views.leaderboard import ordered
from facesr.reports.figures.plane import pareto_front
from facesr.reports.scores import open_runs
from facesr.reports.tables import score_table
from fake_study import small_study
from small_runs import ROOT

Open = Callable[..., AppTest]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open the dashboard on some folders at an address."""

    def make(
        *folders: Path, studies: tuple[Path, ...] = (), page: str = "", asks: Mapping[str, str] | None = None, **query: str
    ) -> AppTest:
        monkeypatch.setenv("FACESR_RUNS", os.pathsep.join(map(str, folders)))
        monkeypatch.setenv("FACESR_STUDIES", os.pathsep.join(map(str, studies)))
        monkeypatch.setenv("FACESR_DASHBOARD", "1")
        memo.clear()
        script = AppTest.from_string(SCRIPT.format(root=ROOT, page=page), default_timeout=120)
        for name, value in {**query, **(asks or {})}.items():
            script.query_params[name] = value
        return script.run()

    return make


# AppTest cannot follow st.navigation to another page: the page asked for is made the default one.
SCRIPT = """
import runpy, streamlit as st
page = "{page}"
real = st.Page
def chosen(*args, **kwargs):
    if page:
        kwargs["default"] = kwargs.get("url_path") == page
    return real(*args, **kwargs)
st.Page = chosen
try:
    runpy.run_path("{root}/dashboard/app.py", run_name="__main__")
finally:
    st.Page = real
"""


def words(script: AppTest) -> str:
    """Everything a reader reads."""
    assert not script.exception, script.exception[0].value
    parts = [e.value for kind in ("error", "warning", "info", "caption", "markdown") for e in getattr(script, kind)]
    return "\n".join(map(str, parts))


@pytest.mark.parametrize(
    "page",
    ["leaderboard", "faces", "plane", "compare", "identity", "consistency", "sweep", "attributes", "mos", "people", "provenance"],
)
def test_every_page_draws(opened: Open, runs: Path, page: str) -> None:
    script = opened(runs / "one", page=page)
    words(script)
    titles = {
        "plane": "Trade-off",
        "compare": "Compare two methods",
        "sweep": "Scale sweep",
        "mos": "Mean opinion scores",
        "people": "Metrics against people",
    }
    assert script.title[0].value == titles.get(page, page.capitalize())
    assert not script.error


def test_a_face_is_found_by_its_name_or_a_part_of_it(opened: Open, runs: Path) -> None:
    one = opened(runs / "one", page="faces", face="demo-09")
    assert one.header[0].value == "demo-09"
    some = opened(runs / "one", page="faces", face="-3")
    named = [b.label for b in some.button if b.label.startswith("demo-")]
    assert sorted(named) == sorted(f for f in open_runs([runs / "one"]).faces if "-3" in f)
    assert "has 'nobody' in its name" in words(opened(runs / "one", page="faces", face="nobody"))


def test_the_leaderboard_sorts_ranks_and_searches(opened: Open, runs: Path) -> None:
    table = score_table(open_runs([runs / "one"]))
    by = next(c.key for c in table.columns if c.higher_is_better is False and table.rows[0].cells[0] is not None)
    made = ordered(table, by)
    means = [made.cell(row.key, by).mean for row in made.rows]  # type: ignore[union-attr]
    assert means == sorted(means) and [row.label.split(". ")[0] for row in made.rows] == [
        str(1 + sum(m < x for m in means)) for x in means
    ]
    assert {row.key for row in ordered(table, by, "BICU").rows} == {"bicubic"} and ordered(table, "") == table
    tied = tuple(replace(row, cells=tuple(c and replace(c, mean=1.0) for c in row.cells)) for row in table.rows)
    assert {row.label.split(". ")[0] for row in ordered(replace(table, rows=tied), by).rows} == {"1"}
    assert [row.label for row in ordered(table, "method").rows] == ["Bicubic", "Nearest"]
    assert [row.n for row in ordered(table, "n").rows] == [8, 8]
    page = opened(runs / "one", sort=by)
    assert not page.error and not page.warning
    shown = next(str(e.proto.body) for e in page.get("html") if "<table" in str(e.proto.body))
    names = re.findall(r'<th scope="row">(\d\. \w+)</th>', shown)
    assert names == [row.label for row in made.rows] and 'aria-sort="other"' in shown
    (papers,) = [str(e.proto.body) for e in page.get("html") if "table-published" in str(e.proto.body)]
    assert "0.6423" in papers and "not comparable: other faces (celeba, here demo)" in papers


WRONG = {
    "run": ("leaderboard", "ffffffffffff", "choose from: one"), "methods": ("leaderboard", "bicubix", "did you mean 'bicubic'?"),
    "where": ("leaderboard", "gender: nobody", "did you mean 'gender: male'?"), "sort": ("leaderboard", "pnsr", "did you mean 'psnr'?"),
    "metrics": ("leaderboard", "ssimm", "did you mean 'ssim'?"), "metric": ("faces", "lpips", "choose from"),
    "order": ("faces", "wurst", "did you mean 'worst'?"), "count": ("faces", "7", "choose from: 12"), "page": ("faces", "9", "there are 2 of them"),
    "scale": ("faces", "16", "choose from: 8"), "a": ("compare", "psp", "choose from"), "b": ("compare", "nobody", "choose from"),
    "x": ("plane", "foo", "choose from"), "attribute": ("attributes", "hair", "choose from"), "method": ("consistency", "psp", "choose from"),
    "which": ("provenance", "two", "choose from: one"), "runn": ("leaderboard", "one", "did you mean 'run'?"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_an_address_that_asks_for_what_is_not_here_says_so(opened: Open, runs: Path, name: str) -> None:
    page, asked, hint = WRONG[name]
    script = opened(runs / "one", page=page, asks={name: asked})
    assert not script.exception
    (said,) = [w.value for w in script.warning]
    assert said.startswith("This address") and name in said and hint in said
    if name not in ("runn", "which", "run", "scale"):
        assert not script.run().exception  # and the next run of the script is drawn as well


def test_a_wrong_face_or_place_says_so(opened: Open, runs: Path) -> None:
    for wrong in ({"zoom": "7"}, {"left": "psp"}, {"at": "50,x,3"}, {"neighbours": "perhaps"}):
        script = opened(runs / "one", page="faces", face="demo-09", asks=wrong)
        assert next(w.value for w in script.warning).startswith(f"This address asks for {next(iter(wrong))}=")
    assert not opened(runs / "one", page="faces", face="demo-09", zoom="6", left="nearest", at="50,38,46").warning


def test_runs_of_one_name_are_told_apart_in_addresses(opened: Open, runs: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(runs / "sweep", tmp_path / "one"))
    names = list(open_sources([runs / "one", other]).named)
    assert len(set(names)) == 2 and all(name.startswith("one-") for name in names)
    script = opened(runs / "one", other, run=names[1])
    assert not script.warning and script.selectbox(key="run").value == names[1]
    assert distinct([tmp_path / "a/x", tmp_path / "b/x", tmp_path / "y"]) == {
        "a/x": tmp_path / "a/x", "b/x": tmp_path / "b/x", "y": tmp_path / "y"
    }  # fmt: skip


def test_the_command_makes_the_same_run_again(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = load_run(runs / "one")
    words = shlex.split(again.command(run.info, "one"))
    assert shlex.split(run.info.command)[:-1] == words[:-1]
    assert words[:2] == ["facesr", "run"] and words[-1] == "runs/one"
    parser = argparse.ArgumentParser()
    cli_run.arguments(parser)
    args = parser.parse_args(words[2:])
    specs = method_specs(args.methods.split(","), args.set)
    assert [(s.label, s.target, dict(s.params)) for s in specs] == [(m.label, m.target, dict(m.params)) for m in run.info.methods]
    assert args.seed == run.info.seed and args.metrics.split(",") == list(run.metrics)


def test_the_front_holds_who_is_beaten_by_nobody() -> None:
    points = {"a": (1.0, 1.0), "b": (2.0, 0.5), "c": (0.5, 0.4), "d": (1.0, 1.0), "e": (2.0, 0.4)}
    assert pareto_front(points, True, True) == ["a", "b", "d"]  # equal ones do not beat each other; e is beaten by b
    assert pareto_front(points, True, False) == ["e"]
    assert pareto_front({}, True, True) == [] and pareto_front({"x": (0.0, 0.0)}, False, False) == ["x"]


def test_several_factors_draw_the_sweep(opened: Open, runs: Path) -> None:
    script = opened(runs / "sweep", page="sweep")
    assert not script.error and not script.info
    words(script)


def test_different_digests_are_a_choice_and_never_one_table(runs: Path) -> None:
    groups = open_sources([runs]).groups
    assert [len(g.runs) for g in groups] == [1, 1]
    assert len({g.key for g in groups}) == 2


def test_runs_of_one_digest_meet(runs: Path, copy: Path) -> None:
    (group,) = open_sources([runs / "one", copy]).groups
    assert len(group.runs) == 2
    assert group.scores().methods == ("bicubic", "nearest")


BROKEN = {
    "no run.json": (lambda f: (f / "run.json").unlink(), "no run.json"),
    "cut off": (lambda f: (f / "run.json").write_text('{"format": 2, "dig'), "not valid JSON"),
    "a list": (lambda f: (f / "run.json").write_text("[]"), "call the run again"),
    "old version": (lambda f: _change(f, format=0), "layout version 0"),
    "no methods": (lambda f: _change(f, methods=[]), "is empty"),
    "no faces": (lambda f: _change(f, faces=[]), "is empty"),
    "keys missing": (lambda f: (f / "run.json").write_text('{"format": 2}'), "is missing"),
    "broken scores": (lambda f: (f / "scores.parquet").write_bytes(b"PAR1"), "cannot be read"),
    "nothing measured": (lambda f: [(f / n).unlink() for n in ("scores.parquet", "cells.sqlite")], "neither scores.parquet nor"),
}


def _change(folder: Path, **facts: Any) -> None:
    info = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**info, **facts}))


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_run_is_a_sentence_beside_the_good_one(opened: Open, runs: Path, copy: Path, how: str) -> None:
    breaking, sentence = BROKEN[how]
    breaking(copy)
    _change(copy, digest="f" * 64) if how in ("broken scores", "nothing measured") else None
    script = opened(runs / "one", copy)
    assert sentence in words(script)
    assert script.title[0].value == "Leaderboard"


def test_nothing_to_show_says_how_to_begin(opened: Open) -> None:
    assert "facesr run" in words(opened())


def test_a_run_in_progress_shows_what_there_is(opened: Open, copy: Path) -> None:
    (copy / "scores.parquet").unlink()
    _change(copy, state="running")
    with closing(sqlite3.connect(copy / "cells.sqlite")) as db, db:
        db.execute("DELETE FROM score WHERE method = 'nearest'")
        db.execute("DELETE FROM restored WHERE method = 'nearest' AND image > 'demo-30'")
        left = db.execute("SELECT count(*) FROM restored").fetchone()[0]
    found = progress(open_run(copy))
    assert (found.restored, found.images, found.scored, found.scores) == (left, 16, 32, 64)
    assert "stopped half-way" in str(opened(copy).get("progress")[0].proto)  # nobody notes anything there
    notes = Notes(copy, lambda: {"process 4711": "psp, 8 faces", "process 12": ""}, lambda: 3)
    notes("psp", 2, 8)
    script = opened(copy)
    assert "is in progress" in str(script.get("progress")[0].proto)
    assert "psp: 2 of 8 faces, 1 of 2 workers busy, 3 workers ended and were replaced" in words(script)
    assert "process 4711: psp, 8 faces · process 12: idle" in words(script)
    notes.remove()
    scores = open_sources([copy]).groups[0].scores()
    assert scores.values("psnr")["bicubic"].notna().all()
    assert (scores.statuses("psnr")["nearest"] == "missing").all()
    assert len(scores.faces) == 8


def test_half_a_run_gives_the_same_scores_as_the_finished_one(runs: Path, copy: Path) -> None:
    (copy / "scores.parquet").unlink()
    _change(copy, state="running")
    early, late = open_sources([copy]).groups[0].scores(), open_runs([runs / "one"])
    for metric in late.metrics:
        np.testing.assert_array_equal(early.values(metric).to_numpy(), late.values(metric).to_numpy())


def test_a_study_shows_no_mean_before_its_stopping_rule(opened: Open, tmp_path: Path) -> None:
    study = small_study(tmp_path)
    simulate(study, 3, seed=1)
    study.close()
    said = words(opened(studies=(study.path,), page="mos"))
    assert "0 of 3 raters have finished" in said
    assert "--peek" not in said
    rehearsal = opened(studies=(study.path,), page="mos", simulated="true")
    assert "SIMULATED RATERS" in words(rehearsal)
    assert "Raters and screening" in [s.value for s in rehearsal.header]


def test_a_paired_comparison_shows_its_own_table(opened: Open, tmp_path: Path) -> None:
    study = small_study(tmp_path, method="pair")
    simulate(study, 3, seed=1)
    study.close()
    assert "0 of 3 raters have finished" in words(opened(studies=(study.path,), page="mos"))
    rehearsal = opened(studies=(study.path,), page="mos", simulated="true")
    assert not rehearsal.info and not rehearsal.error
    shown = " ".join(str(e.proto.body) for e in rehearsal.get("html"))
    assert "SIMULATED RATERS" in shown and "Bradley-Terry" in shown and "over Bicubic" in shown


# -- pictures -------------------------------------------------------------------------------------------------------------------------


def test_pictures_are_the_files_and_names_cannot_leave_the_run(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACESR_RUNS", str(runs))
    run = find_run(run_key(runs / "one"))
    face = str(run.faces[0].name)
    assert face_png(run, "sr", face, 8, "bicubic") == run.sr_path("bicubic", face, 8).read_bytes()
    assert face_png(run, "lr", face, 8, "") == run.lr_path(face, 8).read_bytes()
    for kind, name, scale, method in [
        ("sr", "../../run", 8, "bicubic"), ("sr", face, 8, "../../one"), ("sr", face, 4, "bicubic"), ("sr", face, 8, ""),
        ("run.json", face, 8, ""), ("hr", "/etc/passwd", 8, ""),
    ]:  # fmt: skip
        with pytest.raises(FaceSRError):
            face_png(run, kind, name, scale, method)
    with pytest.raises(FaceSRError):
        find_run("0" * 12)


def test_the_routes_answer_with_etags_under_a_proxys_path(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.applications import Starlette

    from asgi_client import TestClient
    from facesr.dashboard.images import face_url, routes

    monkeypatch.setenv("FACESR_RUNS", str(runs))
    run = open_run(runs / "one")
    client = TestClient(Starlette(routes=routes("some/path")))
    url = face_url(run, "hr", str(run.faces[0].name), 8)
    found = client.get(f"/some/path/{url}")
    assert found.content == run.hr_path(str(run.faces[0].name)).read_bytes()
    assert found.headers["content-type"] == "image/png"
    assert found.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"/some/path/{url}", headers={"If-None-Match": found.headers["etag"]}).status_code == 304
    assert client.get("/some/path/img/face?run=x&kind=sr&scale=eight").status_code == 404
    assert client.get(f"/some/path/{figure_url('<svg/>')}").text == "<svg/>"
    assert client.get("/some/path/img/figure/none.svg").status_code == 404
