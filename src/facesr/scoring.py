"""``facesr.metric`` and ``facesr.score``: the bench's metrics on a caller's own images and folders, without a protocol or a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from facesr.bench.data.dataset import from_folder
from facesr.bench.data.pairing import Partners, Rule, rule_of
from facesr.bench.diagnosis import counted, diagnose, examined
from facesr.bench.errors import FaceSRError
from facesr.bench.faces import U8, Batch, Face
from facesr.bench.imaging.files import read_picture
from facesr.bench.imaging.lowres import LR, NPY, read_lr
from facesr.bench.metrics.base import Metric, NoScore, SetMetric, SetScore
from facesr.bench.metrics.measure import measure
from facesr.bench.registry import build_metric, parse_metric
from facesr.bench.results.status import Status
from facesr.bench.stats.intervals import mean_interval
from facesr.bench.weights import with_fetch
from facesr.images import lr_pixels, pixels

if TYPE_CHECKING:
    import pandas as pd

    from facesr.images import AnyImages

DEFAULT = ("psnr", "psnr-y", "ssim", "st-lpips-alex", "identity-sface")
"""The metrics that ``score`` takes by default: those that need no download."""
CHUNK = 16
"""Images in memory at once."""


@dataclass(frozen=True)
class ReadyMetric:
    """A metric, ready to be called; made by ``facesr.metric``."""

    metric: Metric

    def __call__(self, sr: AnyImages, hr: AnyImages, *, lr: AnyImages | None = None) -> Any:
        """Score ``sr`` against ``hr``: one float for one image, an array (N,) for a batch, one float for a metric of a whole set.

        Images may be files, PIL images, arrays or tensors: uint8, or float in [0, 1], of equal size. ``lr``: what ``sr`` was made from, for
        metrics that ask for it (consistency). An image without a score (no face found) is NaN in a batch; alone it raises
        ``FaceSRError`` with the reason.
        """
        got, want = pixels(sr, "sr"), pixels(hr, "hr")
        if got.values.shape != want.values.shape:
            raise FaceSRError(
                f"{self.metric.name}: sr is {got.values.shape[:3]} and hr {want.values.shape[:3]} (images, rows, columns): they must agree"
            )
        values = score_images(self.metric, got.values, want.values, None if lr is None else lr_pixels(lr))
        if isinstance(values, SetScore):
            return values.value
        if got.single and isinstance(values[0], NoScore):
            raise FaceSRError(f"{self.metric.name}: {values[0].reason}")
        numbers = np.array([np.nan if isinstance(v, NoScore) else v for v in values])
        return float(numbers[0]) if got.single else numbers


def metric(name: str, **conventions: Any) -> ReadyMetric:
    """One metric by name (``facesr metrics`` lists them), or ``my_file.py:MyMetric``; ``conventions`` as a protocol would set them.

    Raises ``FaceSRError`` for an unknown name or convention, and ``WeightsMissing`` where its network is not on this machine.
    """
    made = build_metric(name, conventions)
    with_fetch(lambda: made.weights)
    return ReadyMetric(made)


def score_images(metric: Metric, sr: U8, hr: U8, lr: LR | None = None) -> Sequence[float | NoScore] | SetScore:
    """Values of ``sr`` (N, H, W, 3) uint8 against ``hr`` of the same shape; ``lr`` (N, h, w, 3) where the metric needs it."""
    if metric.needs_lr and lr is None:
        raise FaceSRError(f"{metric.name} compares with LR: give lr as well")
    if reason := metric.skip(hr.shape[1]):
        raise FaceSRError(f"{metric.name}: {reason}")
    batch = Batch(tuple(Face(str(i), Path(), "") for i in range(len(hr))), hr, lr)
    reference = metric.reference(batch)
    if not isinstance(metric, SetMetric):
        return metric.score(sr, batch, reference)
    both = [
        (a, b, face)
        for a, b, face in zip(metric.features(sr, batch, reference), metric.hr_features(batch, reference), batch.faces, strict=True)
        if not isinstance(a, NoScore) and not isinstance(b, NoScore)
    ]
    found = metric.compare([t[0] for t in both], [t[1] for t in both], [t[2] for t in both])
    if isinstance(found, NoScore):
        raise FaceSRError(f"{metric.name}: {found.reason}")
    return found


@dataclass(frozen=True)
class FolderScores:
    """What ``score`` found.

    ``frame``: one row per image and metric (``*`` for a metric of the whole set): image, metric, value (NaN without one), status
    (``ok``, ``missing``, ``no_face``, ``failed``, ``weights_missing``, ``skipped``), reason. ``metrics``: by the names asked for.
    ``unused``: images of SR and LR that belong to no face. ``remarks``: what decoding took (turned upright, colours converted), each cause
    once, and what the images look like where they score far below bicubic's (``facesr.bench.diagnosis``).
    """

    frame: pd.DataFrame
    metrics: dict[str, Metric]
    unused: tuple[str, ...] = field(default=())
    remarks: tuple[str, ...] = field(default=())

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """One row per metric: mean, low and high of its interval over images, n, and how many images have no value."""
        import pandas as pd

        rows = []
        for metric, part in self.frame.groupby("metric", sort=False):
            good = part[part["status"] == Status.OK]["value"].to_numpy()
            found = mean_interval(good, level=level)
            rows.append((metric, found.mean, found.low, found.high, len(good), len(part) - len(good)))
        return pd.DataFrame(rows, columns=["metric", "mean", "low", "high", "n", "failed"]).set_index("metric")

    def _repr_html_(self) -> str:
        html: str = self.table().to_html(float_format="{:.4g}".format)
        return html


def score(
    sr: AnyImages, hr: AnyImages, metrics: Sequence[str] = DEFAULT, *, lr: AnyImages | None = None, lr_names: str = "", suffix: str = "",
    pattern: str = "", pairs: str | PathLike[str] = "", progress: Callable[[int, int], None] = lambda done, total: None,
) -> FolderScores:  # fmt: skip
    """Score finished images against HR: two folders (paired by file name), or two batches of images of any square size.

    ``sr`` and ``hr`` are folders, or images as ``facesr.metric`` takes them. ``metrics``: names, with conventions as in
    ``psnr?border=4``. ``lr``: LR images, for metrics that ask for them. Raises ``FaceSRError`` where nothing can be scored; what one
    image costs is a row with its reason; an HR image without its SR is ``missing``. ``suffix``, ``pattern``, ``pairs``: how SR files are
    named, where not as HR's are (``suffix="_sr"``, ``pattern="{name}_*.png"``, a CSV of HR name and SR file);
    ``lr_names``: the same of LR in one word (``"x8"``, ``"{name}x8.png"``, ``"pairs.csv"``). LR may be unrounded (``.npy``, float arrays).
    """
    import pandas as pd

    if isinstance(metrics, str):
        raise FaceSRError(f"metrics is the text {metrics!r}: give a list, as in [{metrics!r}]")
    asked = {text: parse_metric(text) for text in metrics}  # by name and conventions: psnr and psnr?border=4 are two
    if twice := [text for i, text in enumerate(metrics) if asked[text] in [asked[t] for t in metrics[:i]]]:
        raise FaceSRError(f"metric {twice[0]!r} is named twice with the same conventions: name it once")
    made = {text: build_metric(*spec) for text, spec in asked.items()}
    if not made:
        raise FaceSRError(f"no metrics: name some, such as {', '.join(DEFAULT)}")
    if problems := [f"{name} compares with LR: give lr as well" for name, m in made.items() if m.needs_lr and lr is None]:
        raise FaceSRError("; ".join(problems))
    rule = Rule(suffix, pattern, str(pairs))
    if rule != Rule() and not _is_folder(sr):
        raise FaceSRError("suffix, pattern and pairs are for folders: images in memory are paired by their order")
    if lr_names and not (lr is not None and _is_folder(lr)):
        raise FaceSRError("lr_names is for a folder of LR images: give lr")
    source = _Folders(sr, hr, lr, rule, lr_names) if _is_folder(sr) else _Arrays(sr, hr, lr)
    rows: dict[str, list[tuple[str, str, float, str, str]]] = {name: [] for name in made}
    kept: dict[str, list[tuple[Any, Any, Face]]] = {name: [] for name, m in made.items() if isinstance(m, SetMetric)}
    done, look = 0, _Look(source)
    for batch, images, broken in source.chunks():
        look.at(batch, images)
        for name, m in made.items():
            if isinstance(m, SetMetric):
                kept[name] += _features(m, images, batch) if len(batch) else []
                continue
            rows[name] += [(image, name, *_cell(why)) for image, why in broken.items()]
            rows[name] += [(face.name, name, *_cell(v)) for face, v in zip(batch.faces, _values(m, images, batch), strict=True)]
        done += len(batch) + len(broken)
        progress(done, source.total)
    for name, m in made.items():
        if isinstance(m, SetMetric):
            rows[name].append(("*", name, *_whole_set(m, kept[name])))
    frame = pd.DataFrame([row for part in rows.values() for row in part], columns=["image", "metric", "value", "status", "reason"])
    return FolderScores(frame, made, source.unused, look.remarks())


def _cell(value: float | NoScore) -> tuple[float, str, str]:
    return (np.nan, value.status, value.reason) if isinstance(value, NoScore) else (float(value), Status.OK, "")


def _values(metric: Metric, sr: U8, batch: Batch) -> Sequence[float | NoScore]:
    """Values of a batch; one image that breaks the metric does not cost the others theirs."""
    if not len(batch):
        return []
    if reason := metric.skip(batch.hr.shape[1]):
        return [NoScore(Status.SKIPPED, reason)] * len(batch)
    return measure(metric, sr, batch, lambda: metric.reference(batch))


def _features(metric: SetMetric, sr: U8, batch: Batch) -> list[tuple[Any, Any, Face]]:
    reference = metric.reference(batch)
    return list(zip(metric.features(sr, batch, reference), metric.hr_features(batch, reference), batch.faces, strict=True))


def _whole_set(metric: SetMetric, kept: list[tuple[Any, Any, Face]]) -> tuple[float, str, str]:
    both = [t for t in kept if not isinstance(t[0], NoScore) and not isinstance(t[1], NoScore)]
    found = (
        metric.compare([t[0] for t in both], [t[1] for t in both], [t[2] for t in both])
        if both
        else NoScore(Status.FAILED, "no image has features")
    )
    return _cell(found.value if isinstance(found, SetScore) else found)


def _is_folder(images: AnyImages) -> bool:
    return isinstance(images, str | PathLike) and Path(images).is_dir()


Chunk = tuple[Batch, U8, Mapping[str, NoScore]]
"""Images that can be scored together, SR beside them, and the names of those that have no image or none that can be read, with the reason."""


class _Look:
    """What there is to say of the images beside their scores; a few of one size are kept for it."""

    def __init__(self, source: _Arrays | _Folders) -> None:
        self.source, self.asked = source, set(examined(source.names))
        self.kept: dict[str, tuple[U8, U8, float]] = {}

    def at(self, batch: Batch, sr: U8) -> None:
        for i, face in enumerate(batch.faces):
            if face.name in self.asked and batch.hr.shape[1] == batch.hr.shape[2]:
                self.kept[face.name] = sr[i], batch.hr[i], USUAL if batch.lr is None else batch.hr.shape[1] / batch.lr.shape[1]

    def remarks(self) -> tuple[str, ...]:
        found = {what: counted(note for notes in faces.values() for note in notes) for what, faces in self.source.notes.items()}
        said = [f"{what}: {line}" for what, lines in found.items() for line in lines]
        kinds = {(hr.shape, scale) for _, hr, scale in self.kept.values()}
        if len(kinds) == 1:  # of one size, as all of a method's are
            scale = next(iter(kinds))[1]
            sr, hr = (np.stack([k[side] for k in self.kept.values()]) for side in (0, 1))
            said += [str(f)] if (f := diagnose(sr, hr, max(2, scale), list(self.kept))) else []
        return tuple(said)


USUAL = 8
"""The factor whose bicubic images are the yardstick where no LR says another."""


class _Arrays:
    """Two batches of images that the caller holds."""

    unused: tuple[str, ...] = ()
    notes: Mapping[str, Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, sr: AnyImages, hr: AnyImages, lr: AnyImages | None) -> None:
        self.sr, self.hr = pixels(sr, "sr").values, pixels(hr, "hr").values
        self.lr = None if lr is None else lr_pixels(lr)
        self.total = len(self.sr)
        self.names = [str(i) for i in range(self.total)]
        counts = [len(x) for x in (self.sr, self.hr, self.lr) if x is not None]
        if self.sr.shape != self.hr.shape or len(set(counts)) > 1:
            raise FaceSRError(f"sr {self.sr.shape[:3]}, hr {self.hr.shape[:3]}: give as many images of the same size on each side")

    def chunks(self) -> Iterator[Chunk]:
        for start in range(0, self.total, CHUNK):
            part = slice(start, start + CHUNK)
            faces = tuple(Face(str(i), Path(), "") for i in range(start, min(start + CHUNK, self.total)))
            yield Batch(faces, self.hr[part], None if self.lr is None else self.lr[part]), self.sr[part], {}


def _said(images: AnyImages) -> str:
    return str(images) if isinstance(images, (str, Path)) else type(images).__name__


class _Folders:
    """HR images of a folder, their SR images in another, and LR images in a third where metrics ask for them; decoded a few at a time."""

    def __init__(self, sr: AnyImages, hr: AnyImages, lr: AnyImages | None, rule: Rule, lr_names: str) -> None:
        for what, folder in (("sr", sr), ("hr", hr), *([("lr", lr)] if lr is not None else [])):
            if not _is_folder(folder):
                raise FaceSRError(f"{what}: {_said(folder)} is not a folder: give folders on each side, or images on each side")
        data = from_folder(Path(str(hr)))
        self.faces = {f.name: f for f in data.faces}
        names = sorted(self.faces)
        sides = {"sr": Partners(Path(str(sr)), rule)}
        if lr is not None:
            sides["lr"] = Partners(Path(str(lr)), rule_of(lr_names), (NPY,), "--lr-names")
        self.found = {what: partners.match(names) for what, partners in sides.items()}
        self.notes: dict[str, dict[str, tuple[str, ...]]] = {what: {} for what in ("hr", *self.found)}
        self.names, self.total = names, len(names)
        self.unused = tuple(
            f"{what}/{name}"
            for what, pairs in self.found.items()
            for name in (PurePosixPath(file).with_suffix("").as_posix() for file in pairs.unused)
        )

    def chunks(self) -> Iterator[Chunk]:
        for start in range(0, self.total, CHUNK):
            broken: dict[str, NoScore] = {}
            groups: dict[tuple[tuple[Any, ...], ...], list[tuple[Face, list[Any]]]] = {}
            for name in self.names[start : start + CHUNK]:
                if absent := [what for what, pairs in self.found.items() if name not in pairs.files]:
                    broken[name] = NoScore(Status.MISSING, f"no {' and no '.join(absent)} image of this face")
                    continue
                try:
                    images = self._read(name)
                except FaceSRError as error:
                    broken[name] = NoScore(Status.FAILED, str(error))
                else:
                    groups.setdefault(tuple((*i.shape, str(i.dtype)) for i in images), []).append((self.faces[name], images))
            for group in groups.values():
                sr, hr, *lr = (np.stack(side) for side in zip(*(images for _, images in group), strict=True))
                yield Batch(tuple(face for face, _ in group), hr, lr[0] if lr else None), sr, {}
            yield Batch((), np.zeros((0, 1, 1, 3), np.uint8)), np.zeros((0, 1, 1, 3), np.uint8), broken

    def _read(self, name: str) -> list[Any]:
        """SR, HR and, where there is one, LR."""
        places = {"sr": self.found["sr"].files[name], "hr": self.faces[name].path}
        places |= {"lr": self.found["lr"].files[name]} if "lr" in self.found else {}
        images = []
        for what, path in places.items():
            if path.suffix == NPY:
                images.append(read_lr(path))
                continue
            picture = read_picture(path)
            self.notes[what][name] = picture.notes
            images.append(picture.pixels)
        if images[0].shape != images[1].shape:
            sizes = " and ".join(f"{i.shape[1]} x {i.shape[0]}" for i in images[:2])
            raise FaceSRError(f"{name}: sr and hr are {sizes} pixels; they must be of one size")
        return images
