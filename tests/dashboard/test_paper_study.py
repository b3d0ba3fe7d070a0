"""The paper's study from ``create`` to Table 1 in five commands: 40 raters, 240 images, anchors, the epsilon gate, and simulated raters.

39 raters speak the page's API, with double sends and the server killed (-9) among them; one rates in the real page in Chromium, by keyboard.
"""

# ruff: noqa: F811 - the fixture `driver` is imported, and is an argument of the test

from __future__ import annotations

import asyncio
import csv
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser import MARKS, Browser, agree, driver, rate_until  # noqa: F401 - a fixture
from facesr.bench.imaging import encode_png
from facesr.bench.study import load_study
from facesr.cli import main
from fake_study import fake_run
from rating_load import flat_out, grade
from servers import Server

pytestmark = MARKS
METHODS = ("bicubic", "fsrnet", "pix2pixhd", "pulse", "psp")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_from_create_to_table_one(tmp_path: Path, driver: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """create, invite, serve, close, table; every mean in the table is the mean of what was answered, worked out from the answers themselves."""
    run = fake_run(tmp_path / "run", faces=80, methods=(*METHODS, "far"), size=64, scores=False)
    for face in run.faces:  # the gate: this method's images do not agree with their LR
        (run.path / "sr" / "far" / f"{face.name}.png").write_bytes(encode_png(np.full((64, 64, 3), 128, np.uint8)))
    study, links = tmp_path / "study", tmp_path / "links.csv"
    (tmp_path / "plan.toml").write_text("[exclude_raters]\nattention_wrong = 0.5\n")

    create = ["study", "create", str(run.path), "--out", str(study), "--session-minutes", "0", "--url", "http://127.0.0.1:8501"]
    assert main(create) == 0  # 1
    said = capsys.readouterr().out
    assert "40 raters x 280 items, 40 faces" in said
    assert "left out     far:" in said
    assert f"conditions   hr, {', '.join(METHODS)}\n" in said
    assert main(["study", "invite", str(study), "--links", str(links)]) == 0  # 2
    tokens = [row["link"].rpartition("#")[2] for row in csv.DictReader(links.read_text().splitlines())]
    assert len(tokens) == 40
    with ThreadPoolExecutor(1) as apart, Server(study) as server:  # 3
        # in a thread: Playwright's own event loop runs in this one
        sent, seconds = apart.submit(lambda: asyncio.run(flat_out(server, tokens[:39], kills=10, over=60.0))).result()
        browser = Browser(driver, tmp_path / "profile")
        try:
            page = browser.context.new_page()
            page.goto(f"{server.url}/rate/#{tokens[39]}")
            agree(page)
            assert rate_until(page, 1000) == 240
            assert len(page.inner_text("code")) == 8
        finally:
            browser.kill()
    capsys.readouterr()
    assert main(["study", "close", str(study)]) == 0  # 4
    assert "ratings of 40 raters; nothing is taken any more" in capsys.readouterr().out
    assert main(["table", str(study), "--preset", "seed-table1", "--format", "md"]) == 0  # 5
    table = capsys.readouterr().out

    opened = load_study(study)
    assert f"{opened.citation}." in table  # the digest of the design, and the sha256 of the ratings as they were closed
    rows = opened.design.rows()
    assert opened.may_show_means()
    assert not [s for s in opened.design.stimuli if s.condition == "far"]
    totals: dict[str, list[int]] = {c: [] for c in opened.design.conditions}
    for rater in range(40):
        for position, trial in enumerate(rows[rater], 1):
            if trial.kind == "main":
                totals[trial.condition].append(grade(rater, position) if rater < 39 else 4)
    opened.close()
    assert {len(v) for v in totals.values()} == {1600}
    printed = [float(x) for x in re.findall(r"(?<![\d.])[1-5]\.\d\d(?![\d.])", table)]
    for condition, scores in totals.items():
        mean = sum(scores) / len(scores)
        assert any(abs(mean - x) <= 0.005 + 1e-9 for x in printed), (condition, mean, table)
    with capsys.disabled():
        print(f"\n39 raters by the API, {sent:,} requests, ten kills, {seconds:.0f} s; one in Chromium; Table 1:\n{table}")
