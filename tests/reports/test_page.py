"""Figures, the page and the paper folder: pixels unchanged, nothing loaded from outside, names escaped, LaTeX that compiles."""

from __future__ import annotations

import base64
import html.parser
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from fake_run import make_run, make_study, picture

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb
from facesr.bench.numbers import p_text, p_words
from facesr.cli import main
from facesr.reports import build
from facesr.reports.figures import Drawing, MethodStyle, grid
from facesr.reports.figures import mos as mos_figures
from facesr.reports.figures import scores as score_figures
from facesr.reports.figures.style import OKABE_ITO
from facesr.reports.gather import Report, gather
from facesr.reports.mos import open_study
from facesr.reports.page import html_page
from facesr.reports.paper import compile_paper, document, numbers, write_paper
from facesr.reports.scores import open_runs
from facesr.reports.tables import table_of

EVIL = "<i>&_%$#{}~^'"
METHODS = ("bicubic", "pulse", EVIL)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("page") / "run", faces=9, methods=METHODS)


@pytest.fixture(scope="module")
def report(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    study = make_study(
        tmp_path_factory.mktemp("page") / "st&dy",
        raters=8,
        faces=9,
        means={"hr": 4.2, "bicubic": 1.5, "pulse": 3.3, EVIL: 3.4},
        repeats=4,
    )
    return gather(open_runs([run]), open_study(study), count=2, zooms=[(40, 48, 32)])


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return html_page(report)


class Parser(html.parser.HTMLParser):
    """Checks that tags close in order, and keeps ids, attributes and images."""

    VOID = frozenset(("meta", "img", "br", "link", "input"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.sources: list[tuple[str, str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for key, value in attrs:
            if key == "id":
                self.ids.append(value or "")
            if key in ("src", "href", "xlink:href", "action", "srcset"):
                self.sources.append((tag, value or ""))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()


@pytest.fixture(scope="module")
def parsed(text: str) -> Parser:
    parser = Parser()
    parser.feed(text)
    return parser


def test_the_page_is_well_formed_and_loads_nothing(text: str, parsed: Parser) -> None:
    assert not parsed.open
    assert all(source.startswith(("data:image/", "#")) for _, source in parsed.sources), parsed.sources[:3]
    assert not re.search(r"url\((?!#)|@import", text) and "script" not in parsed.tags and "link" not in parsed.tags
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text and "@media print" in text


def test_ids_are_unique_and_every_inner_link_has_its_target(parsed: Parser) -> None:
    assert len(parsed.ids) == len(set(parsed.ids))
    targets = {source[1:] for _, source in parsed.sources if source.startswith("#")}
    assert targets <= set(parsed.ids)


def test_embedded_images_are_the_files_byte_for_byte(run: Path, report: Report, text: str) -> None:
    embedded = [base64.b64decode(code) for code in re.findall(r'<img src="data:image/png;base64,([^"]+)"', text)]
    galleries = [g for s in report.sections for g in s.galleries]
    assert [g.title for g in galleries] == ["Random faces (seed 0)", "Best faces", "Worst faces", "Most disputed faces"]
    once: set[str] = set()  # a face that several galleries show is embedded in the first, and linked to by the others
    expected = [
        file.read_bytes()
        for g in galleries
        for face in g.faces
        if (face not in once and not once.add(face))  # type: ignore[func-returns-value]
        for file in (run / "lr" / f"{face}.png", *(run / "sr" / m / f"{face}.png" for m in METHODS), run / "hr" / f"{face}.png")
    ]
    assert embedded == expected


def test_the_page_says_all_of_it(report: Report, text: str) -> None:
    assert report.mos is not None
    for key in (
        "results",
        "faces",
        "attributes",
        "mos",
        "people",
        "failures",
        "protocol",
        "study",
        "environment",
        "weights",
        "hashes",
    ):
        assert f'id="{key}"' in text, key
    for words in (
        "d" * 64,
        "bicubic-matlab",
        "ε = 2.1e-3 after 100 steps",
        "Before you quote a number",
        "a test",
        "Krippendorff",
        report.scores.runs[0].faces[8].sha256,
    ):
        assert words in text, words
    for guard in report.mos.analysis.guards:
        assert guard.sentence.split("<")[0][:30].split("&")[0] in text.replace("&#x27;", "'")
    assert EVIL not in text and "&lt;i&gt;&amp;_%$#{}~^" in text and "st&dy" not in text


def test_numbers_of_the_page_are_those_of_the_table(run: Path, text: str) -> None:
    table = table_of([run])
    for cell in table.cells:
        assert f"mean {cell.mean:.6g}" in text  # the title of its cell


def tile(png: np.ndarray, row: int, column: int, tall: int, cell: int) -> np.ndarray:
    top, left = grid.LABEL + row * tall, grid.SIDE + column * (cell + grid.GAP)
    return png[top : top + cell, left : left + cell]


def decode(drawing: Drawing, folder: Path) -> np.ndarray:
    (folder / "one.png").write_bytes(drawing.png())
    return read_rgb(folder / "one.png")


def test_the_grid_shows_every_pixel_of_every_file(run: Path, tmp_path: Path) -> None:
    scores = open_runs([run])
    drawing = grid.qualitative(scores, ["000004", "000007"], metric="psnr", cell=256)
    png, tall = decode(drawing, tmp_path), 256 + grid.STRIP + grid.GAP
    for row, face in enumerate(("000004", "000007")):
        files = [run / "lr" / f"{face}.png", *(run / "sr" / m / f"{face}.png" for m in METHODS), run / "hr" / f"{face}.png"]
        for column, file in enumerate(files):
            image = read_rgb(file)
            times = 256 // len(image)
            assert np.array_equal(tile(png, row, column, tall, 256), image.repeat(times, 0).repeat(times, 1)), file


def test_zooms_enlarge_the_same_region_of_every_image(run: Path, tmp_path: Path) -> None:
    drawing = grid.qualitative(open_runs([run]), ["000004"], zooms=[(40, 48, 32)], cell=128)
    png = decode(drawing, tmp_path)
    below = png[grid.LABEL + 128 + grid.GAP :]
    hr, lr = picture(4), read_rgb(run / "lr" / "000004.png")
    left = grid.SIDE + (len(METHODS) + 1) * (128 + grid.GAP)
    assert np.array_equal(below[:128, left : left + 128], hr[48:80, 40:72].repeat(4, 0).repeat(4, 1))
    big = lr.repeat(8, 0).repeat(8, 1)  # the same region of LR, its pixels eight times as large
    assert np.array_equal(below[:128, grid.SIDE : grid.SIDE + 128], big[48:80, 40:72].repeat(4, 0).repeat(4, 1))
    with pytest.raises(FaceSRError, match="leaves the 128-pixel image"):
        grid.qualitative(open_runs([run]), ["000004"], zooms=[(100, 48, 32)])


def test_a_missing_image_leaves_its_place_and_says_why(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "sr" / "pulse" / "000004.png").unlink()
    scores = open_runs([copy])
    png = decode(grid.qualitative(scores, ["000004"], metric="psnr", cell=128), tmp_path)
    square = tile(png, 0, 2, 128 + grid.STRIP + grid.GAP, 128)
    assert (square == 236).mean() > 0.9  # grey, but for the words
    assert '<div class="none">' in html_page(gather(scores, faces=["000004"], count=1))


def test_faces_are_chosen_by_rule(run: Path) -> None:
    scores = open_runs([run])
    table = build.face_table(scores, "psnr")
    methods = list(scores.methods)
    assert grid.choose_faces(scores, "best", 3, "psnr") == list(table[methods].mean(axis=1).sort_values(ascending=False).index[:3])
    assert grid.choose_faces(scores, "worst", 1, "lpips-squeeze") == [
        build.face_table(scores, "lpips-squeeze")[methods].mean(axis=1).idxmax()
    ]
    assert grid.choose_faces(scores, "best", 1, "psnr", method="bicubic") == [table["bicubic"].idxmax()]
    assert grid.choose_faces(scores, "disputed", 1, "psnr") == [table[methods].std(axis=1).idxmax()]
    random = grid.choose_faces(scores, "random", 4, seed=7)
    turned = scores.only(faces=scores.faces[::-1])
    assert random == grid.choose_faces(turned, "random", 4, seed=7) != grid.choose_faces(scores, "random", 4, seed=8)
    assert len(grid.choose_faces(scores, "random", 50)) == 9


def test_frames_for_the_dashboard_agree_with_pandas(run: Path) -> None:
    scores = open_runs([run])
    duel = build.duel(scores, "pulse", "bicubic", "lpips-squeeze")
    values = scores.values("lpips-squeeze")[["pulse", "bicubic"]].dropna()
    assert len(duel.faces) == 7 and duel.wins == int((values["pulse"] < values["bicubic"]).sum())  # lower is better
    assert duel.test.difference == pytest.approx((values["pulse"] - values["bicubic"]).mean())
    assert duel.win_rate == duel.wins / 7
    female = build.attribute_frame(scores, "gender", "psnr")
    names = [f for f in scores.faces if scores.attributes[f]["gender"] == "female"]
    row = female[(female["value"] == "female") & (female["method"] == "bicubic")].iloc[0]
    assert row["mean"] == pytest.approx(scores.values("psnr").loc[names, "bicubic"].mean()) and row["n"] == len(names)
    ages = build.bands(scores, "age")
    assert sorted(f for faces in ages.values() for f in faces) == sorted(scores.faces) and len(ages) == 3
    for band, faces in ages.items():
        low, _, high = band.partition("–")
        assert all(float(low) <= float(scores.attributes[f]["age"]) <= float(high or low) for f in faces)
    failed = build.failures(scores)
    assert set(failed["status"]) == {"not_converged", "no_face"} and len(failed) == 2 * 4 + 1
    assert len(build.epsilon_frame(scores)) == 27
    with pytest.raises(FaceSRError, match="did you mean 'gender'"):
        build.bands(scores, "gendre")


def test_figures_are_the_same_bytes_every_time_and_in_safe_colours(report: Report, run: Path) -> None:
    again = gather(open_runs([run]), None, count=2)
    first = {d.name: d for d in report.drawings}
    for drawing in again.drawings:
        if drawing.name in ("means", "epsilon"):
            assert drawing.svg() == first[drawing.name].svg() and drawing.pdf() == first[drawing.name].pdf()
            assert drawing.pdf().startswith(b"%PDF") and drawing.png().startswith(b"\x89PNG")
    used = {c.upper() for c in re.findall(r"#[0-9a-fA-F]{6}", first["means"].svg())}
    assert used & set(OKABE_ITO) and "#FF0000" not in used
    assert all(d.alt and d.title for d in report.drawings)
    look = MethodStyle(["hr", "a", "b"])
    assert look.color("hr") == "#1f2328" and look.color("a") in OKABE_ITO


def test_a_method_looks_the_same_in_any_company_and_no_two_look_alike() -> None:
    known = ["nearest", "bicubic", "fsrnet", "fsrgan", "pix2pixhd", "pulse", "psp", "psp-refined"]
    mine = [f"mine-{i}" for i in range(30)]
    whole = MethodStyle([*mine, *known, "hr"])
    for company in (["psp"], ["psp", "bicubic"], ["mine-3", "psp"], list(reversed(known))):
        look = MethodStyle(company)
        assert all((look.color(m), look.marker(m)) == (whole.color(m), whole.marker(m)) for m in company if m in known)
        assert all(look.color(m) == whole.color(m) for m in company)
    pairs = [(whole.color(m), whole.marker(m)) for m in (*known, *mine, "hr")]
    assert len(set(pairs)) == len(pairs)


def test_a_figure_of_single_faces_is_refused_with_the_reason(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "few", faces=4, methods=("bicubic", "psp"), images=False)
    info = json.loads((folder / "run.json").read_text())
    for i, face in enumerate(info["faces"]):
        face["attributes"] = {"look": f"look {i}", "gender": "female" if i % 2 else "male"}
    (folder / "run.json").write_text(json.dumps(info))
    scores = open_runs([folder])
    assert build.too_thin(scores, "look").startswith("look is not drawn: 4 of its 4 values have a single face")
    assert build.too_thin(scores, "gender") == ""


def test_an_inline_figure_takes_the_pages_ink(report: Report) -> None:
    svg = next(d for d in report.drawings if d.name == "mos").inline_svg()
    assert "currentColor" in svg and "#1f2328" not in svg and 'role="img"' in svg and "aria-label=" in svg


def test_the_significance_matrix_frames_pairs_on_which_analyses_disagree(report: Report) -> None:
    assert report.mos is not None
    pairs = report.mos.analysis.pairs
    drawing = mos_figures.significance(pairs, [m.condition for m in report.mos.conditions])
    differ = sum((q.p_paper_holm < 0.05) != (q.p_holm < 0.05) for q in pairs)
    frames = [p for ax in drawing.figure.axes for p in ax.patches if not p.get_fill()]
    assert len(frames) == differ * 4  # each pair stands twice in each of two panels
    assert [p_text(p) for p in (0.082, 2.2e-6, 1.0, 1e-120, math.nan)] == [".082", "2.2e-6", ">.999", "<1e-99", "–"]
    assert [p_words(p) for p in (0.082, 2.2e-6, 1.0, math.nan)] == ["p = .082", "p = 2.2e-6", "p > .999", "p unknown"]


def test_bars_start_at_zero_or_become_points(run: Path) -> None:
    scores = open_runs([run])
    for metric in ("psnr", "identity-sface"):
        frame = build.attribute_frame(scores, "gender", metric)
        ax = score_figures.attributes({"gender": frame}, scores.column(metric), MethodStyle(scores.methods)).figure.axes[0]
        assert not ax.patches or ax.get_ylim()[0] == 0


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_paper_folder_compiles_with_any_name(report: Report, tmp_path: Path) -> None:
    files = write_paper(report, tmp_path / "paper", kinds=("pdf",))
    assert all(f.stat().st_size for f in files)
    assert compile_paper(tmp_path / "paper").read_bytes().startswith(b"%PDF")
    log = (tmp_path / "paper" / "paper.log").read_text(errors="replace")
    assert "LaTeX Warning: Reference" not in log and "Missing character" not in log and "Overfull" not in log


def test_numbers_are_defined_once_and_the_document_types_none(report: Report) -> None:
    names = re.findall(r"\\newcommand\{(\\[A-Za-z]+)\}", numbers(report))
    assert (
        len(names) == len(set(names)) and r"\facesrFaces" in names and r"\srBicubicPsnr" in names and r"\tableonePulseMos" in names
    )
    assert r"\facesrFaces{}" in document(report)


def test_pdflatex_missing_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FaceSRError, match="pdflatex is not installed"):
        compile_paper(tmp_path)


def test_the_command_writes_page_and_paper(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "report",
        str(run),
        "--out",
        str(tmp_path),
        "--count",
        "1",
        "--methods",
        "bicubic,pulse",
        "--metrics",
        "psnr",
    ]
    assert main(arguments) == 0
    assert (tmp_path / "report.html").stat().st_size > 20_000 and (tmp_path / "paper" / "paper.tex").is_file()
    assert {p.suffix for p in (tmp_path / "paper" / "figures").iterdir()} == {".pdf", ".svg", ".png"}
    assert str(tmp_path / "report.html") in capsys.readouterr().out
    assert main(["report", str(run), "--zoom", "a,b"]) == 2
    assert "left,top,side" in capsys.readouterr().err


def test_a_sweep_is_drawn_over_its_factors(tmp_path: Path) -> None:
    folder = make_run(
        tmp_path / "sweep",
        faces=2,
        methods=("bicubic", "psp"),
        scales=(4, 8, 16),
        metrics={"psnr": {"label": "PSNR", "higher_is_better": True}},
    )
    found = gather(open_runs([folder]), count=1)
    names = [d.name for d in found.drawings]
    assert "sweep" in names and "means" not in names and {"grid-random-x4", "grid-random-x8", "grid-random-x16"} <= set(names)
    ticks = [t.get_text() for t in found.drawings[names.index("sweep")].figure.axes[0].get_xticklabels()]
    assert ticks == ["×4", "×8", "×16"]


def test_a_running_run_and_lost_weights_are_warned_of(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "r", faces=3, methods=("bicubic",), metrics={"psnr": {"label": "PSNR", "higher_is_better": True}})
    import pandas as pd

    frame = pd.read_parquet(folder / "scores.parquet")
    lost = frame.assign(metric="lpips", value=np.nan, status="weights_missing", reason="no alexnet.pth")
    pd.concat([frame, lost], ignore_index=True).to_parquet(folder / "scores.parquet")
    info = json.loads((folder / "run.json").read_text())
    info["state"], info["metrics"]["lpips"] = "running", {"label": "LPIPS", "higher_is_better": False}
    (folder / "run.json").write_text(json.dumps(info))
    warnings = " ".join(gather(open_runs([folder]), count=1).warnings)
    assert "is not finished" in warnings and "No value of any method for LPIPS: no alexnet.pth." in warnings
