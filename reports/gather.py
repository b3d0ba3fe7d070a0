"""Everything a report shows, made once: tables, drawings, grids and warnings. The page and the paper folder only arrange it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.pairwise import compare_methods
from facesr.bench.study.analysis import PairedAnalysis
from facesr.reports import build, notes
from facesr.reports.costs import with_costs
from facesr.reports.figures import Drawing, MethodStyle, grid
from facesr.reports.figures import mos as mos_figures
from facesr.reports.figures import scores as score_figures
from facesr.reports.figures.plane import plane
from facesr.reports.figures.style import slug
from facesr.reports.groups import bias_table
from facesr.reports.mos import MosResult, mos_table, pairs_table, table_one
from facesr.reports.paired import paired_table
from facesr.reports.people import against_people, agreement_table
from facesr.reports.published import any_published
from facesr.reports.scores import Scores
from facesr.reports.table import Table
from facesr.reports.tables import leaderboard, score_table

ATTRIBUTE_VALUES = 8
"""An attribute with more values than this (a person's name) is not drawn."""
PREFERRED = ("lpips", "st-lpips", "identity", "ssim", "psnr")
"""The metric that grids, bars and choices of faces go by: the first of these families that the run measured."""


@dataclass(frozen=True)
class Gallery:
    """Faces shown in full: which, how they were chosen, at which factor."""

    title: str
    faces: tuple[str, ...]
    scale: float
    drawing: Drawing


@dataclass(frozen=True)
class Section:
    """A heading of the report with its words, tables, figures and galleries."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    galleries: tuple[Gallery, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole report. ``warnings`` are sentences that stand before everything else."""

    title: str
    subtitle: str
    scores: Scores
    mos: MosResult | None
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    metric: str

    @property
    def drawings(self) -> list[Drawing]:
        """Every figure, the grids too."""
        return [d for s in self.sections for d in (*s.drawings, *(g.drawing for g in s.galleries))]

    @property
    def tables(self) -> list[Table]:
        """Every table."""
        return [t for s in self.sections for t in s.tables]


def headline(scores: Scores) -> str:
    """The metric by which faces are chosen and attributes compared."""
    single = [m for m in scores.metrics if not scores.is_set_metric(m) and scores.cells_known(m)]
    single = single or list(scores.metrics)
    return next((m for family in PREFERRED for m in single if m.startswith(family)), single[0])


def gather(
    scores: Scores,
    mos: MosResult | None = None,
    *,
    faces: Sequence[str] = (),
    count: int = 4,
    seed: int = 0,
    metric: str | None = None,
    zooms: Sequence[grid.Zoom] = (),
    paired: PairedAnalysis | None = None,
    cost: Sequence[str] = (),
) -> Report:
    """Make every table and figure of a run, of a study of it, or of both. ``faces``: shown besides those chosen by rule."""
    by = metric or headline(scores)
    scores.only(metrics=[by])
    look = MethodStyle([*scores.methods, *([m.condition for m in mos.conditions] if mos else [])])
    table = with_costs(score_table(scores, full=True, mos=mos), scores, cost)
    sections = [
        Section("results", "Results", tables=(table,), drawings=tuple(_result_drawings(scores, look, by))),
        Section(
            "faces", "Faces", _face_words(scores, by, seed), galleries=tuple(_galleries(scores, by, faces, count, seed, zooms))
        ),
        *_attribute_section(scores, by, look),
        *(_mos_sections(scores, mos, look) if mos else ()),
        *_published_section(scores, mos),
        *([Section("paired", "Paired comparison", tables=(paired_table(paired),))] if paired else ()),
    ]
    subtitle = notes.caption(scores) + (f"; study {mos.name}" if mos else "")
    return Report(
        notes.title(scores.runs[0]),
        subtitle,
        scores,
        mos,
        (*warnings(scores, mos), *([f"{paired.label}."] if paired and paired.label else [])),
        tuple(sections),
        by,
    )


def _pairs(scores: Scores, metric: str) -> Drawing | None:
    """All pairs of methods by one metric, where there are few enough methods to read."""
    values = scores.values(metric)
    rated = [m for m in scores.methods if values[m].notna().sum() > 1]
    if not 2 < len(rated) <= 12 or scores.is_set_metric(metric):
        return None
    column = scores.column(metric)
    pairs = compare_methods(values[rated], rated)
    what, digits = f" by {column.label}", min(scores.digits(metric), 3)
    return mos_figures.significance(pairs, rated, name=f"significance-{slug(metric)}", what=what, digits=digits)


def _result_drawings(scores: Scores, look: MethodStyle, by: str) -> list[Drawing]:
    made = []
    columns = {m: scores.column(m) for m in scores.metrics}
    if len(scores.scales) > 1:
        singles = [m for m in scores.metrics if scores.cells_known(m)]
        made.append(score_figures.sweep({m: build.sweep_frame(scores, m) for m in singles}, columns, look))
    else:
        board = leaderboard(scores).frame()
        shown = [c for m, c in columns.items() if board.loc[board["metric"] == m, "mean"].notna().any()]
        made.append(score_figures.means(board, shown, look))
        made += [drawing] if (drawing := _pairs(scores, by)) else []
    if len(scores.scales) == 1 and (pair := plane_axes(scores)):
        made.append(plane(leaderboard(scores.only(metrics=pair)).cells, columns[pair[0]], columns[pair[1]], look))
    if build.epsilon_metric(scores):
        for scale in scores.scales:
            frame = build.epsilon_frame(scores, scale)
            if len(frame):
                drawing = score_figures.epsilon(frame, scores.epsilon, look)
                several = len(scores.scales) > 1
                made.append(replace(drawing, name=f"epsilon-x{scale}", title=f"{drawing.title}, ×{scale}") if several else drawing)
    return made


DISTORTION = ("psnr-y", "psnr", "ssim")
PERCEPTION = ("lpips", "st-lpips", "niqe", "fid", "identity")


def plane_axes(scores: Scores) -> tuple[str, str] | None:
    """A distortion metric and a perceptual one that have values; None where the run has no such pair."""
    live = [m for m in scores.metrics if scores.cells_known(m)]
    x = next((m for name in DISTORTION for m in live if m == name), None)
    y = next((m for name in PERCEPTION for m in live if m.startswith(name)), None)
    return (x, y) if x and y else None


def _face_words(scores: Scores, metric: str, seed: int) -> tuple[str, ...]:
    column = scores.column(metric)
    return (
        f"Chosen by {column.label} {column.arrow}: its mean over methods for the best and worst faces, its spread between methods for the "
        f"most disputed; random faces by seed {seed}. Every image is the file that was scored, byte for byte, its pixels unsmoothed.",
    )


def _galleries(
    scores: Scores, metric: str, faces: Sequence[str], count: int, seed: int, zooms: Sequence[grid.Zoom]
) -> list[Gallery]:
    wanted: list[tuple[str, str, Sequence[str], float]] = []
    for scale in scores.scales:
        at = f", ×{scale}" if len(scores.scales) > 1 else ""
        end = f"-x{scale}" if at else ""
        if faces:
            wanted.append((f"chosen{end}", f"Chosen faces{at}", faces, scale))
        wanted.append(
            (f"random{end}", f"Random faces (seed {seed}){at}", grid.choose_faces(scores, "random", count, seed=seed), scale)
        )
        if len(scores.scales) == 1 and len(scores.faces) > count:
            for how, words in (("best", "Best faces"), ("worst", "Worst faces"), ("disputed", "Most disputed faces")):
                if how != "disputed" or len(scores.methods) > 1:
                    wanted.append((how, words, grid.choose_faces(scores, how, count, metric, scale=scale), scale))  # type: ignore[arg-type]
    return [
        Gallery(
            title,
            tuple(chosen),
            scale,
            grid.qualitative(scores, chosen, scale=scale, metric=metric, zooms=zooms, name=f"grid-{key}", title=title),
        )
        for key, title, chosen, scale in wanted
    ]


def _attribute_section(scores: Scores, metric: str, look: MethodStyle) -> list[Section]:
    shown = [a for a in build.attribute_names(scores) if 1 < len(build.bands(scores, a)) <= ATTRIBUTE_VALUES]
    if not shown:
        return []
    refused = [why for a in shown if (why := build.too_thin(scores, a))]
    shown = [a for a in shown if not build.too_thin(scores, a)]
    second = next((m for m in scores.metrics if m.startswith("identity") and m != metric and scores.cells_known(m)), None)
    drawings = []
    for one in filter(None, (metric, second)) if shown else ():
        frames = {a: build.attribute_frame(scores, a, one) for a in shown}
        drawings.append(score_figures.attributes(frames, scores.column(one), look))
    words = ("Numbers with many values, such as ages, are grouped in thirds of the faces; n counts faces.", *refused)
    return [Section("attributes", "Who is served worse", words, tables=tuple(_bias(scores, shown)), drawings=tuple(drawings))]


def _bias(scores: Scores, attributes: Sequence[str]) -> Iterator[Table]:
    """Worst group and gap by each attribute that has two groups."""
    for attribute in attributes:
        try:
            yield bias_table(scores, attribute)
        except FaceSRError:
            continue


def _published_section(scores: Scores, mos: MosResult | None) -> list[Section]:
    """Published numbers beside our own, where any paper prints one for these methods and metrics."""
    made = any_published(scores, mos)
    return [] if made is None else [Section("published", "Published numbers", tables=(made,))]


def _mos_sections(scores: Scores, mos: MosResult, look: MethodStyle) -> list[Section]:
    found, conditions = mos.analysis, mos.conditions
    order = [m.condition for m in conditions]
    drawings = (
        mos_figures.intervals(conditions, look, found.scale, mos.letters, mos.label),
        mos_figures.histograms(conditions, look, found.scale, mos.label),
        mos_figures.significance(found.pairs, order, mos.label, mos.alpha),
    )
    made = [Section("mos", "Mean opinion scores", mos.words, (table_one(mos), mos_table(mos), pairs_table(mos)), drawings)]
    if people := against_people(scores, mos):
        drawing = mos_figures.metric_scatter(people.stimuli, people.agreements, people.columns, look)
        made.append(Section("people", "Metrics against people", people.sentences[:1], (agreement_table(people),), (drawing,)))
    return made


def warnings(scores: Scores, mos: MosResult | None) -> list[str]:
    """What a reader must know before believing a number."""
    found = []
    if mos:
        found += [f"{mos.label}."] if mos.label else []
        found += [guard.sentence for guard in mos.analysis.guards]
    for run in scores.runs:
        if run.running:
            found.append(f"{run.path.name} is not finished; cells it has not come to are counted as missing.")
    found += notes.suspected(scores)
    nothing: dict[str, list[str]] = {}
    lost: dict[tuple[str, str], list[str]] = {}
    for cell in scores.cells():
        total, label = cell.n + cell.failed, scores.column(cell.metric).label
        if not cell.n:
            nothing.setdefault(f"{label}: {cell.failures[0].reason or cell.failures[0].status}", []).append(cell.method)
        elif not scores.is_set_metric(cell.metric) and cell.failed >= 0.05 * total:
            lost.setdefault((cell.method, f"{cell.failed:,} of {total:,} faces"), []).append(label)
    found += [
        f"{method} has no {', '.join(dict.fromkeys(labels))} for {share}: its mean is of other faces than the rest, perhaps easier ones."
        for (method, share), labels in lost.items()
    ]
    for why, methods in nothing.items():
        who = list(dict.fromkeys(methods))
        found.append(f"No value of {'any method' if len(who) == len(scores.methods) else ', '.join(who)} for {why.rstrip('.')}.")
    if str(scores.runs[0].protocol.get("data", {}).get("dataset", "")).startswith("folder:"):
        found.append("The faces are the user's own folder, not the protocol's data set: compare with no published table.")
    return list(dict.fromkeys(found))


def save_figures(report: Report, folder: Path, kinds: Sequence[str] = ("pdf", "svg", "png")) -> list[Path]:
    """Write every figure of the report."""
    return [path for drawing in report.drawings for path in drawing.save(folder, kinds)]
