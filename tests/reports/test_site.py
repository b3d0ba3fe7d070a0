"""``facesr site``: a leaderboard that separates digests, ranks with ties, counts failures, and gives a stranger's words no power."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from fake_run import make_run

import facesr
from browser import CHROMIUM, found_by_axe
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb, write_png
from facesr.cli import main
from facesr.reports.scores import open_runs
from facesr.reports.site.ranking import ranking
from helpers import TINY, faces

NASTY = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three submissions: a checked one, one that was changed since its check, and a run of other faces."""
    here = tmp_path_factory.mktemp("site")
    (here / "tiny.toml").write_text(TINY)
    faces(here / "hr", 12)
    (here / "half").mkdir()
    for file in sorted((here / "hr").iterdir())[1:]:
        write_png(here / "half" / file.name, np.roll(read_rgb(file), 1, axis=1))
    one = facesr.run(here / "tiny.toml", ["bicubic"], here / "run1", data=here / "hr")
    two = facesr.run(here / "tiny.toml", [f"shifted=folder:{here / 'half'}", "nearest"], here / "run2", data=here / "hr")
    some = facesr.run(here / "tiny.toml", ["bicubic"], here / "run3", data=here / "hr", limit=5)
    one.export(here / "subs" / "alpha" / "bundle.zip")
    two.export(here / "subs" / "beta" / "bundle")
    some.export(here / "subs" / "gamma" / "bundle")
    for name, bundle in (("alpha", "bundle.zip"), ("beta", "bundle")):
        record = facesr.verify(here / "subs" / name / bundle, "all", data=here / "hr")
        (here / "subs" / name / "verification.json").write_text(record.as_json())
    return here


class Links(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def _board(site: Path, word: str) -> Path:
    return next(p for p in sorted(site.glob("*/index.html")) if word in p.read_text())


def test_a_leaderboard(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subs = world / "subs"
    assert main(["site", *(str(subs / n) for n in ("alpha", "beta", "gamma")), "--out", str(tmp_path / "site")]) == 0
    assert "2 tables, 11 pages" in capsys.readouterr().out  # an index; in each table the whole and four metrics
    page = _board(tmp_path / "site", "shifted")
    text = page.read_text()
    assert "gamma" not in text
    rows = re.findall(r'<tr><td>([^<]*)</td><th scope="row">(\w+)</th>(.*?)</tr>', text)
    assert {name for _, name, _ in rows} == {"bicubic", "nearest", "shifted"}
    cells = {name: re.findall(r"<td[^>]*>([^<]*)</td>", rest) for _, name, rest in rows}
    assert cells["shifted"][2:] == ["11", "1", "beta", "✓ checked"]
    assert cells["bicubic"][2:] == ["12", "0", "alpha", "✓ checked"]
    assert "shifted has no" in text  # the failure stands before the numbers
    assert "terms: not stated" in text
    assert str(world) not in "".join(p.read_text() for p in (tmp_path / "site").rglob("*.*"))
    site = facesr.site([subs / "alpha", subs / "beta"], tmp_path / "site")  # an earlier leaderboard is written anew
    assert (site.boards, site.pages) == (1, 6)
    assert facesr.table([world / "run1", world / "run2"]).csv() == (page.parent / "table.csv").read_text()


def test_only_links_inside_and_no_script(world: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(world / "subs" / "beta" / "bundle", tmp_path / "b" / "bundle")
    plain = json.loads((folder / "run.json").read_text())
    plain["methods"][0].update(terms=NASTY, notes=[NASTY], cite=NASTY, target=NASTY, params={NASTY: NASTY}, weights={NASTY: NASTY})
    plain["metrics"]["psnr"].update(conventions=NASTY, source=NASTY, label=NASTY, unit=NASTY)
    plain["data"].update(note=NASTY, name=NASTY)
    plain["environment"]["facesr-bench"] = NASTY
    plain["protocol"]["name"] = plain["title"] = NASTY
    plain["digest"] = f"../../{NASTY}"
    (folder / "run.json").write_text(json.dumps(plain))
    made = facesr.site([tmp_path / "b", world / "subs" / "alpha"], tmp_path / "site", title=NASTY)
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) == made.pages
    for page in pages:
        seen = Links(page)
        assert not {"script", "iframe", "object", "embed", "link", "img", "form", "base"} & set(seen.tags)
        assert not [name for name, _ in seen.attributes if name.startswith("on")]
        for _, to in ((n, v) for n, v in seen.attributes if n in ("href", "src")):
            assert to.startswith("#") or (page.parent / to).resolve().is_relative_to((tmp_path / "site").resolve())
            assert to.startswith("#") or (page.parent / to).is_file()
        assert "default-src 'none'" in page.read_text()


def test_records_of_other_files_do_not_count(world: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(world / "subs" / "beta", tmp_path / "beta")
    shutil.copy(world / "subs" / "alpha" / "verification.json", moved / "verification.json")
    facesr.site([moved, world / "run1"], tmp_path / "site")
    text = _board(tmp_path / "site", "shifted").read_text()
    assert "the record of other files" in text
    assert "✓ checked" not in text
    record = json.loads((world / "subs" / "beta" / "verification.json").read_text())
    bad = shutil.copytree(world / "subs" / "beta", tmp_path / "bad")
    (bad / "verification.json").write_text(json.dumps(record | {"findings": ["scores were changed"]}))
    facesr.site([bad], tmp_path / "bad-site")
    text = _board(tmp_path / "bad-site", "shifted").read_text()
    assert "✗ findings" in text
    assert "scores were changed" in text


def test_places_are_what_the_tests_say(tmp_path: Path) -> None:
    make_run(tmp_path / "run", faces=30, images=False)
    scores = open_runs([tmp_path / "run"])
    for metric in ("psnr", "lpips-squeeze"):
        values = scores.values(metric)
        better = 1 if scores.metrics[metric].higher_is_better else -1
        pairs = list(combinations(scores.methods, 2))
        raw = []
        for a, b in pairs:
            both = values[[a, b]].dropna()
            raw.append(scipy.stats.wilcoxon(both[a], both[b]).pvalue)
        order = np.argsort(raw)
        holm, high = {}, 0.0
        for i, at in enumerate(order):
            high = max(high, min(1.0, raw[at] * (len(raw) - i)))
            holm[pairs[at]] = high
        means = values.mean()

        def beats(a: str, b: str, holm: dict[tuple[str, str], float] = holm, means: object = means, better: int = better) -> bool:
            p = holm.get((a, b), holm.get((b, a), 1.0))
            return p < 0.05 and better * (means[a] - means[b]) > 0  # type: ignore[index]

        for place in ranking(scores, metric, 8):
            m = place.cell.method
            assert place.best == 1 + sum(beats(o, m) for o in scores.methods if o != m)
            assert place.worst == len(scores.methods) - sum(beats(m, o) for o in scores.methods if o != m)


def test_what_is_no_leaderboard_is_refused(world: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("mine")
    with pytest.raises(FaceSRError, match="is no leaderboard"):
        facesr.site([world / "run1"], tmp_path / "taken")
    with pytest.raises(FaceSRError, match="two submissions are named 'run1'"):
        facesr.site([world / "run1", world / "run1"], tmp_path / "site")
    with pytest.raises(FaceSRError):
        facesr.site([world / "nowhere"], tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_axe_finds_nothing(world: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    facesr.site([world / "subs" / n for n in ("alpha", "beta", "gamma")], site)
    pages = [site / "index.html", _board(site, "shifted"), *site.glob("*/metric-1.html")]
    assert found_by_axe(site, tuple(p.relative_to(site).as_posix() for p in pages)) == []
