"""The qualitative grid: LR, every method and HR side by side, every pixel of a file shown as a square of whole pixels."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_lr, rounded
from facesr.bench.numbers import fixed
from facesr.bench.results import Run
from facesr.bench.results.status import SERVED, Status
from facesr.reports.build import face_table
from facesr.reports.figures.style import ALARM, FAINT, INK, Drawing, quiet
from facesr.reports.scores import Scores

if TYPE_CHECKING:
    from facesr.bench.faces import U8

Choice = Literal["random", "best", "worst", "disputed"]
Zoom = tuple[int, int, int]
"""Left, top and side of a square region, in pixels of HR."""
GAP, LABEL, STRIP, SIDE = 6, 28, 20, 22
"""Pixels: between two images, above the first row for the names, under an image for its score, left of a row for the face."""


def choose_faces(
    scores: Scores,
    how: Choice,
    count: int,
    metric: str | None = None,
    *,
    seed: int = 0,
    method: str | None = None,
    scale: float | None = None,
) -> list[str]:
    """Faces to show: ``random`` (the same for the same seed and faces), ``best`` and ``worst`` by a metric (of one method, or of the
    mean over methods), ``disputed`` (methods differ most). Faces without a value come last.
    """
    count = min(count, len(scores.faces))
    if how == "random":
        rng = np.random.default_rng([seed, zlib.crc32("\n".join(sorted(scores.faces)).encode())])
        picked = rng.choice(sorted(scores.faces), size=count, replace=False)
        return [str(f) for f in picked]
    if metric is None:
        raise FaceSRError(f"the {how} faces are chosen by a metric: name one of {', '.join(scores.metrics)}")
    table = face_table(scores.only(metrics=[metric]), metric, scale)
    if how == "disputed":
        return [str(f) for f in table["disagreement"].sort_values(ascending=False, na_position="last", kind="stable").index[:count]]
    values = table[method] if method else table[list(scores.methods)].mean(axis=1)
    rising = bool(scores.column(metric).higher_is_better) == (how == "worst")
    return [str(f) for f in values.sort_values(ascending=rising, na_position="last", kind="stable").index[:count]]


@dataclass(frozen=True)
class _Tile:
    image: U8 | None
    note: str = ""
    bad: bool = False


def repeat_pixels(image: U8, side: int) -> U8:
    """Repeat every pixel a whole number of times, to at most ``side``; a larger image keeps its pixels."""
    times = max(1, side // image.shape[0])
    return image.repeat(times, axis=0).repeat(times, axis=1)


def _tiles(scores: Scores, face: str, scale: float, metric: str | None) -> list[_Tile]:
    run = scores.runs[0]
    made = [_read(lambda: run.as_measured(run.lr_path(face, scale)), "LR not there")]
    column = scores.column(metric) if metric else None
    value = scores.values(metric, scale, kept=True).loc[face].to_dict() if metric else None
    status = scores.statuses(metric, scale).loc[face] if metric else None
    for method in scores.methods:
        owner, label = scores.owner[method]
        how = str(status[method]) if status is not None else Status.OK
        otherwise = how.replace("_", " ") if how not in SERVED else "no image"
        tile = _read(partial(_sr, owner, label, face, scale), otherwise)
        made.append(
            tile if value is None or column is None or tile.image is None else _scored(tile, value[method], how, column.key, scores)
        )
    owners = [r for r in scores.runs if any(f.name == face for f in r.faces)]
    return [*made, *([_read(lambda: owners[0].hr_path(face), "HR not there")] if run.has_hr else [])]


def _sr(run: Run, label: str, face: str, scale: float) -> Path:
    return run.as_measured(run.sr_path(label, face, scale))


def _scored(tile: _Tile, value: float, how: str, metric: str, scores: Scores) -> _Tile:
    number = fixed(float(value), scores.digits(metric)) if np.isfinite(value) else how.replace("_", " ")
    return _Tile(tile.image, number + ("*" if how == Status.NOT_CONVERGED else ""), how != Status.OK)


def _read(place: Callable[[], Path], otherwise: str) -> _Tile:
    try:
        path = place()
    except FaceSRError:
        return _Tile(None, "not as measured", True)
    try:
        return _Tile(rounded(read_lr(path)))
    except FaceSRError:
        return _Tile(None, otherwise, True)


def _crop(image: U8 | None, zoom: Zoom, size: int) -> U8 | None:
    """The region of an image of any size; of a smaller one (LR) after repeating its pixels, so that the cut is at the same place."""
    if image is None:
        return None
    image = repeat_pixels(image, size)
    left, top, side = (round(v * image.shape[0] / size) for v in zoom)
    return image[top : top + max(side, 1), left : left + max(side, 1)]


@dataclass(frozen=True)
class _Canvas:
    pixels: U8
    notes: list[tuple[float, float, str, bool]]
    frames: list[tuple[int, int, int, int, str]]
    solid: list[tuple[int, int, int]]
    """Top, left and side of every shown image, whose pixels a PNG holds unchanged."""


def _compose(rows: Sequence[list[_Tile]], zooms: Sequence[Zoom], cell: int, size: int, notes: bool) -> _Canvas:
    """Lay the tiles out on white: a row of images for each face, and a row of each zoom beneath it."""
    strip = STRIP if notes else 0
    tall = (cell + strip + GAP) + len(zooms) * (cell + GAP)
    columns = max(map(len, rows))
    pixels = np.full((len(rows) * tall, columns * (cell + GAP) - GAP, 3), 255, dtype=np.uint8)
    words: list[tuple[float, float, str, bool]] = []
    frames: list[tuple[int, int, int, int, str]] = []
    solid: list[tuple[int, int, int]] = []
    for i, tiles in enumerate(rows):
        for j, tile in enumerate(tiles):
            x, y = j * (cell + GAP), i * tall
            shown = [tile.image, *(_crop(tile.image, zoom, size) for zoom in zooms)]
            for k, image in enumerate(shown):
                at = y + k * (cell + GAP) + (strip if k else 0)
                if image is None:
                    pixels[at : at + cell, x : x + cell] = 236
                    words.append((x + cell / 2, at + cell / 2, "" if k else tile.note, True))
                    continue
                big = repeat_pixels(image, cell)[:cell, :cell]
                dy, dx = (cell - big.shape[0]) // 2, (cell - big.shape[1]) // 2
                pixels[at + dy : at + dy + big.shape[0], x + dx : x + dx + big.shape[1]] = big
                solid.append((at, x, cell))
            if tile.image is not None and tile.note:
                words.append((x + cell / 2, y + cell + strip / 2, tile.note, tile.bad))
            if tile.image is not None and j == len(tiles) - 1:
                times = cell / size
                frames += [
                    (round(x + z[0] * times), round(y + z[1] * times), round(z[2] * times), round(z[2] * times), ALARM)
                    for z in zooms
                ]
    return _Canvas(pixels, words, frames, solid)


def qualitative(
    scores: Scores,
    faces: Sequence[str],
    *,
    scale: float | None = None,
    metric: str | None = None,
    zooms: Sequence[Zoom] = (),
    cell: int | None = None,
    name: str = "grid",
    title: str = "LR, methods and HR",
) -> Drawing:
    """The grid of ``faces`` (rows) by LR, methods and HR (columns). ``metric``: its value under every image. ``zooms``: regions of HR
    that are shown enlarged beneath. ``cell``: pixels an image covers, a multiple of HR's size (default: what fits a text width).

    An image that is missing leaves a grey square with the reason; one of a search that did not converge is marked.
    """
    at = scores.scales[0] if scale is None else scale
    if not faces:
        raise FaceSRError("a grid needs at least one face: name some, or let them be chosen")
    scores.only(faces=faces)
    rows = [_tiles(scores, face, at, metric) for face in faces]
    size = next((t[-1].image.shape[0] for t in rows if t[-1].image is not None), 128)
    for left, top, side in zooms:
        if min(left, top) < 0 or side < 2 or max(left, top) + side > size:
            raise FaceSRError(f"zoom {left},{top},{side} leaves the {size}-pixel image: give left,top,side in pixels of HR")
    canvas = _compose(rows, zooms, cell or _cell_size(size, len(rows[0])), size, metric is not None)
    heads = [f"LR ×{at}", *scores.methods, *(["HR"] if scores.runs[0].has_hr else [])]
    column = scores.column(metric) if metric else None
    footer = f"under each image: {column.label} {column.arrow}" if column else ""
    footer += ";  * its search did not converge" if any(t.note.endswith("*") for row in rows for t in row) else ""
    alt = f"{len(faces)} faces by {', '.join(heads)}: {', '.join(faces)}"
    return _draw(canvas, heads, faces, name, title, alt, footer)


def _cell_size(size: int, columns: int) -> int:
    """The largest whole multiple of an image that fits so many columns into a text width at 200 dpi, or the image itself."""
    return size * max(1, (1350 - SIDE) // (columns * (size + GAP)))


def _draw(canvas: _Canvas, heads: Sequence[str], faces: Sequence[str], name: str, title: str, alt: str, footer: str) -> Drawing:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = (int(n) for n in canvas.pixels.shape[:2])
    left, dpi = SIDE, 200
    cell = (width + GAP) // len(heads)
    total = (width + left, height + LABEL + (STRIP if footer else 0))
    with quiet():
        figure = Figure(figsize=(total[0] / dpi, total[1] / dpi), dpi=dpi)
        FigureCanvasAgg(figure)
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, total[0]), ylim=(total[1], 0))
        ax.set_axis_off()
        place = (left, left + width, LABEL + height, LABEL)
        image = canvas.pixels.copy()
        for x, y, w, h, color in canvas.frames:
            _outline(image, x, y, w, h, color)
        ax.imshow(image, extent=place, interpolation="none", aspect="auto")
        fit = min(6.5, 1.45 * cell / dpi * 72 / max(map(len, heads)))
        for j, head in enumerate(heads):
            ax.text(
                left + j * cell + (cell - GAP) / 2, LABEL / 2, head, ha="center", va="center", fontsize=max(fit, 3.0), weight="bold"
            )
        for row, face in enumerate(faces):
            ax.text(
                left / 2,
                LABEL + (row + 0.5) * height / len(faces),
                face,
                ha="center",
                va="center",
                rotation=90,
                fontsize=5,
                color=FAINT,
            )
        for across, down, words, bad in canvas.notes:
            ax.text(left + across, LABEL + down, words, ha="center", va="center", fontsize=5, color=ALARM if bad else INK)
        if footer:
            ax.text(left, total[1] - STRIP / 2, footer, ha="left", va="center", fontsize=5, color=INK)
    exact = tuple((image[y : y + side, x : x + side], LABEL + y, left + x) for y, x, side in canvas.solid)
    return Drawing(name, title, alt, figure, exact, dpi)


def _outline(image: U8, x: int, y: int, w: int, h: int, color: str) -> None:
    """Draw the zoomed region's frame, one pixel wide, just outside of it."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    top, bottom, left, right = max(y - 1, 0), y + h, max(x - 1, 0), min(x + w, image.shape[1] - 1)
    image[top, left : right + 1] = image[min(bottom, image.shape[0] - 1), left : right + 1] = rgb
    image[top : bottom + 1, left] = image[top : bottom + 1, right] = rgb
