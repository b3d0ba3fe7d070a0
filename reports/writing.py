"""A report written to disk: the page and the paper folder, from what a user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import make_folder, write_whole
from facesr.bench.study.analysis import PairedAnalysis
from facesr.reports.gather import gather
from facesr.reports.mos import MosResult, open_study
from facesr.reports.page import html_page
from facesr.reports.paired import is_paired, open_paired
from facesr.reports.paper import write_paper
from facesr.reports.scores import open_runs
from facesr.reports.tables import narrowed


@dataclass(frozen=True)
class Written:
    """``page``: report.html; ``paper``: the folder with tables and figures, ``files`` of them."""

    page: Path
    paper: Path
    files: int


def write_report(
    runs: Sequence[Path], out: Path, *, study: Path | None = None, methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None, scales: Sequence[float] | None = None, where: Sequence[str] = (), faces: Sequence[str] = (),
    count: int = 4, seed: int = 0, metric: str | None = None, zooms: Sequence[tuple[int, int, int]] = (),
    peek: bool = False, simulated: bool = False, cost: Sequence[str] = (),
) -> Written:  # fmt: skip
    """Write the report of ``runs`` (of one digest) into ``out``.

    ``methods``, ``metrics``, ``scales``, ``where``: only these. ``faces``: to show besides those chosen by rule, ``count`` of each choice.
    ``seed``: of the random choice. ``metric``: chooses faces and compares attributes. ``zooms``: squares (left, top, side) of HR to enlarge.
    ``peek``: show a study's means before its stopping rule is met, which is logged. ``simulated``: of a study's simulated raters.
    ``cost``: ``time`` and ``memory`` as columns of the results.
    """
    if count < 1:
        raise FaceSRError(f"--count {count}: show at least one face")
    scores = narrowed(open_runs(runs), methods, metrics, scales, where)
    mos: MosResult | None = None
    paired: PairedAnalysis | None = None
    if study is not None and is_paired(study):
        paired = open_paired(study, peek=peek, simulated=simulated)
    elif study is not None:
        mos = open_study(study, peek=peek, simulated=simulated)
    report = gather(scores, mos, faces=faces, count=count, seed=seed, metric=metric, zooms=zooms, paired=paired, cost=cost)
    out.mkdir(parents=True, exist_ok=True)
    make_folder(out, out / "paper")
    write_whole(out / "report.html", html_page(report))
    return Written(out / "report.html", out / "paper", len(write_paper(report, out / "paper")))
