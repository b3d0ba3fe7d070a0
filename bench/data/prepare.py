"""Preparing faces: align where asked, reduce by one declared filter, save as PNG, and list everything of the source in a manifest."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from facesr import __version__
from facesr.bench.align import align_ffhq, map_points
from facesr.bench.data import celebahq, london, manifest
from facesr.bench.data.dataset import prepared_folder
from facesr.bench.data.landmarks import LandmarkFile, Points, implausible
from facesr.bench.data.manifest import MANIFEST, Manifest, ManifestRow, Rejected
from facesr.bench.data.names import unique_names
from facesr.bench.data.sources import Item, Source
from facesr.bench.detect import detect, main_face
from facesr.bench.errors import FaceSRError, WeightsMissing, suggest
from facesr.bench.faces import U8
from facesr.bench.imaging.decode import decode, header_size
from facesr.bench.imaging.files import write_png
from facesr.bench.imaging.resample import resize8
from facesr.bench.weights import with_fetch

MAX_OUTSIDE = 0.25
"""A frame that lies further outside its photo than this share is rejected; below it, the share is noted."""
LARGE = 12_000_000
"""Images of more pixels are worked on one at a time, so that memory stays flat."""
IN_FLIGHT = 256 << 20
"""Bytes of undecoded images that wait in memory at once."""
BEGUN = ".preparing"
"""A file beside ``images`` while there is no manifest yet: what lies in ``images`` is ours."""
KNOWN = {
    "celeba-hq": "CelebA-HQ (Karras 2018): 30,000 faces, 1024 px; non-commercial research; split by CelebA's official partition",
    "ffhq": "FFHQ (Karras 2019): 70,000 faces, 1024 px, images1024x1024/00000/00000.png; CC BY-NC-SA and per image",
    "london": "Face Research Lab London Set (DeBruine and Jones 2017): 102 adults, 1350 px, with landmarks; CC BY 4.0",
    "demo": "eight faces sampled from a generator, 128 px, part of this project; nobody's portrait",
}
Progress = Callable[[str, int, int], None]


class RejectedError(Exception):
    """Why a face is not in the prepared set; it is listed in the manifest."""


@dataclass(frozen=True)
class Request:
    """What to prepare. ``align``: bring unaligned photos to the CelebA-HQ/FFHQ frame; ``landmarks``: a CSV of five points per image;
    ``column``: the image column of parquet shards that have several."""

    dataset: str
    source: Path
    size: int = 128
    reduce: str = "box"
    split: str = "all"
    mapping: Path | None = None
    align: bool = False
    landmarks: Path | None = None
    out: Path | None = None
    workers: int = 4
    column: str = ""

    @property
    def folder(self) -> Path:
        """Where it goes."""
        return self.out or prepared_folder(self.dataset, self.size)

    def check(self) -> None:
        """Refuse options that would do nothing; every problem at once."""
        hq, placed = self.dataset == "celeba-hq", self.dataset == "london"
        problems = []
        if self.dataset == "demo":
            problems.append("the demo faces come with the project: there is nothing to prepare")
        if not self.source.exists():
            problems.append(f"no folder or archive {self.source}")
        if hq and self.split not in celebahq.TOTALS:
            problems.append(f"CelebA-HQ has no split {self.split!r}: {suggest(self.split, celebahq.TOTALS)}")
        if not hq and self.split != "all":
            problems.append(
                f"--split {self.split}: only celeba-hq has splits; prepare the folder of one split, under a name of its own"
            )
        if not hq and self.mapping:
            problems.append("--mapping: only celeba-hq has a mapping file")
        if (hq or placed) and self.landmarks:
            problems.append(f"--landmarks: the faces of {self.dataset} are placed already")
        if placed and self.align:
            problems.append("--align: the London set is aligned by its own landmarks")
        if self.column and not self._has_parquet():
            problems.append(f"--column names the image column of parquet shards, and {self.source} holds none")
        images = self.folder / "images"
        ours = any((self.folder / name).exists() for name in (MANIFEST, BEGUN))
        if not ours and images.is_dir() and any(images.iterdir()):
            problems.append(f"{images} holds files and {self.folder} no manifest: they could be overwritten; choose another --out")
        if problems:
            raise FaceSRError("; ".join(problems))

    def _has_parquet(self) -> bool:
        """Whether the source is a parquet shard, or a folder that holds some."""
        return self.source.suffix.lower() == ".parquet" or (self.source.is_dir() and any(self.source.rglob("*.[pP][aA][rR]*")))


@dataclass(frozen=True)
class Pending:
    """One item on its way: the name it will have and what is known of it, or the reason why it is no face."""

    item: Item
    name: str = ""
    split: str = "all"
    attributes: Mapping[str, str] = field(default_factory=dict)
    points: Points | None = None
    reason: str = ""


@dataclass(frozen=True)
class Work:
    """The jobs of a request, in order; what each split has in all ('' where that is what comes out); images of other splits; remarks."""

    jobs: Iterator[Pending]
    count: int
    total: Mapping[str, int] = field(default_factory=dict)
    not_asked: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def prepare_data(request: Request, progress: Progress = lambda what, done, total: None) -> Manifest:
    """Prepare a data set; returns its manifest. What cannot be used is listed with its reason; nothing is dropped."""
    request.check()
    work = _work(request)
    if not work.count:
        raise FaceSRError(f"{request.source} holds no images{'' if request.split == 'all' else f' of split {request.split!r}'}")
    try:
        (request.folder / "images").mkdir(parents=True, exist_ok=True)
        (request.folder / BEGUN).touch()
    except OSError as error:
        raise FaceSRError(f"{request.folder}: cannot be written ({error.strerror})") from None
    rows: list[ManifestRow] = []
    rejected: list[Rejected] = []
    seen: dict[str, str] = {}
    images = 0
    for done, (job, result) in enumerate(_in_order(request, work.jobs), 1):
        progress("prepare", min(done, work.count), work.count)
        images += job.item.image
        if isinstance(result, ManifestRow) and result.sha256 in seen:
            (request.folder / result.file).unlink(missing_ok=True)
            result = f"the same image as {seen[result.sha256]}"
        if isinstance(result, ManifestRow):
            seen[result.sha256] = job.name
            rows.append(result)
        else:
            rejected.append(Rejected(job.item.name, result))
    if not rows:
        reasons = "; ".join(f"{r.source}: {r.reason}" for r in rejected[:3])
        raise FaceSRError(f"{request.source}: no usable face ({len(rejected)} rejected: {reasons})")
    made = _manifest(request, work, rows, rejected, images)
    manifest.write_manifest(request.folder, made)
    (request.folder / BEGUN).unlink(missing_ok=True)
    return made


def _manifest(request: Request, work: Work, rows: list[ManifestRow], rejected: list[Rejected], images: int) -> Manifest:
    """The manifest; splits of the same set prepared earlier into the same folder stay, and what does not stay is said."""
    notes = list(work.notes)
    if (request.folder / MANIFEST).is_file():
        old = manifest.read_manifest(request.folder)
        files, splits = {row.file for row in rows}, {row.split for row in rows}
        alike = (old.name, old.size, old.reduce) == (request.dataset, request.size, request.reduce)
        kept = [row for row in old.faces if alike and row.split not in splits and row.file not in files]
        lost = len([row for row in old.faces if row.file not in files]) - len(kept)
        rows = rows + kept
        sources = {row.source for row in rows} | {r.source for r in rejected}
        rejected = rejected + [r for r in old.rejected if kept and r.source not in sources]
        if lost:
            notes.append(
                f"{lost} faces of an earlier preparation of this folder are no longer in the manifest; their images are still there"
            )
    return Manifest(
        name=request.dataset,
        size=request.size,
        reduce=request.reduce,
        aligned_here=request.align or request.landmarks is not None or request.dataset == "london",
        made_by=f"facesr {__version__}",
        total=work.total or {"all": images},
        not_asked=work.not_asked,
        faces=tuple(sorted(rows, key=lambda r: r.file)),
        rejected=tuple(rejected),
        notes=tuple(notes),
    )


# -- one image -------------------------------------------------------------------------------------------------------------------


def _in_order(request: Request, jobs: Iterator[Pending]) -> Iterator[tuple[Pending, ManifestRow | str]]:
    """Work in threads on a few images at a time, so that memory stays flat; results come in order."""
    large = threading.Lock()
    with ThreadPoolExecutor(request.workers) as pool:
        waiting: list[tuple[Pending, Future[ManifestRow | str]]] = []
        for job in jobs:
            waiting.append((job, pool.submit(_one, request, job, large)))
            while len(waiting) >= 2 * request.workers or sum(len(j.item.data) for j, _ in waiting) > IN_FLIGHT:
                first, future = waiting.pop(0)
                yield first, future.result()
        for job, future in waiting:
            yield job, future.result()


def _one(request: Request, job: Pending, large: threading.Lock) -> ManifestRow | str:
    if job.reason:
        return job.reason
    item = job.item
    try:
        data = item.read()
        width, height = header_size(data, item.name)
        with large if width * height > LARGE else nullcontext():
            picture = decode(data, item.name)
            image, points, note = _bring(request, job, picture.pixels)
    except WeightsMissing:
        raise  # no detector on this machine: that is not the face's fault
    except (RejectedError, FaceSRError) as error:
        return str(error).removeprefix(f"{item.file}: ").removeprefix(f"{item.name}: ")
    file = f"images/{job.name}.png"
    saved = write_png(request.folder / file, image)
    return ManifestRow(
        file=file,
        sha256=hashlib.sha256(saved).hexdigest(),
        source=item.name,
        split=job.split,
        attributes=dict(job.attributes),
        landmarks=points and tuple((round(x, 2), round(y, 2)) for x, y in points),
        note="; ".join((*picture.notes, *note)),
    )


def _bring(request: Request, job: Pending, image: U8) -> tuple[U8, Points | None, tuple[str, ...]]:
    """An image at the target size, its landmarks there, and what should be noted of it."""
    size = request.size
    if not (request.align or request.landmarks or job.points):
        height, width, _ = image.shape
        if height != width:
            raise RejectedError(f"{width} x {height} pixels is not square: not an aligned face (use --align)")
        if height < size:
            raise RejectedError(f"{width} x {height} pixels: too small, would need enlarging to {size}")
        return resize8(image, size, request.reduce), None, ()
    points = job.points or _detect(image)
    if problem := implausible(points):
        raise RejectedError(f"its landmarks cannot be an upright face's: {problem}")
    aligned = align_ffhq(image, np.asarray(points), size, reduce=request.reduce)
    if aligned.scale > 1:
        raise RejectedError(f"the face's frame has {aligned.frame.side:.0f} pixels: too small, would need enlarging to {size}")
    if aligned.out_of_frame > MAX_OUTSIDE:
        raise RejectedError(f"{aligned.out_of_frame:.0%} of the face's frame lies outside the photo")
    return aligned.image, map_points(points, aligned.frame, size), aligned.reasons


def _detect(image: U8) -> Points:
    face = main_face(with_fetch(lambda: detect(image)), (image.shape[0], image.shape[1]))
    if face is None:
        raise RejectedError("no face found")
    return face.points


# -- the jobs of each kind of set --------------------------------------------------------------------------------------------------


def _work(request: Request) -> Work:
    own = [request.folder / "images", request.folder / MANIFEST, request.folder / BEGUN, request.mapping, request.landmarks]
    source = Source(request.source, {p.resolve() for p in own if p is not None}, request.column)
    if request.dataset == "celeba-hq":
        return _celebahq(request, source)
    if request.dataset == "london":
        return _london(request, source)
    listing = [(item.name, not item.reason) for item in source.items(load=False)]
    listed = [name for name, image in listing if image]
    points = LandmarkFile(request.landmarks).match(listed) if request.landmarks else {}

    def jobs() -> Iterator[Pending]:
        for item, name in _named(source, listing):
            if item.reason:
                yield Pending(item, reason=item.reason)
            elif request.landmarks and item.name not in points:
                yield Pending(item, reason=f"no landmarks in {request.landmarks.name}")
            else:
                yield Pending(item, name, points=points.get(item.name))

    return Work(jobs(), len(listed))


def _named(source: Source, listing: Sequence[tuple[str, bool]]) -> Iterator[tuple[Item, str]]:
    """The items of a source, each with the name of its face; ``listing``: what was found in it before, and whether it was an image.

    An image keeps the name that its path was given there, whatever becomes of those before it: a member may turn out to be damaged, and a
    shard may end too early. What does not come again is listed.
    """
    names = iter(unique_names([path for path, image in listing if image]))
    given: dict[str, deque[str]] = defaultdict(deque)
    for path, image in listing:
        given[path].append(next(names) if image else "")
    for item in source.items():
        name = given[item.name].popleft() if given[item.name] else ""
        yield item if name or item.reason else replace(item, data=b"", reason="was not there when the source was listed"), name
    for path, left in given.items():
        for _ in left:
            yield Item(path, reason="cannot be read: its archive or shard is damaged before it"), ""


def _celebahq(request: Request, source: Source) -> Work:
    mapping = celebahq.find_mapping(request.source, request.mapping)
    splits = celebahq.read_mapping(mapping)
    source = Source(source.path, {*source.skip, mapping.resolve()}, source.column)
    listing = [(item.name, not item.reason) for item in source.items(load=False)]
    names = [name for name, image in listing if image]
    note = celebahq.refuse_renumbered(names, request.source.name, splits)
    counts = Counter(splits[index] for name in names if (index := celebahq.index_of(Item(name).stem)) is not None)

    def jobs() -> Iterator[Pending]:
        for item, _ in _named(source, listing):
            index = celebahq.index_of(item.stem)
            if item.reason or index is None:
                yield Pending(item, reason=item.reason or "its name holds no CelebA-HQ index from 0 to 29999")
            elif request.split in ("all", splits[index]):
                yield Pending(item, f"{index:05d}", splits[index])

    asked = counts.total() if request.split == "all" else counts[request.split]
    others = {split: n for split, n in counts.items() if request.split not in ("all", split)}
    return Work(jobs(), asked, celebahq.TOTALS, others, (note,) if note else ())


def _london(request: Request, source: Source) -> Work:
    people, info = london.read_people(request.source)
    items = list(source.items(load=False))
    names = iter(unique_names([item.name for item in items if not item.reason]))
    templates = {item.file.with_suffix(".tem") for item in items if item.file}

    def jobs() -> Iterator[Pending]:
        for item in items:
            path = request.source / item.name
            if item.reason:
                if path not in templates and path != info:  # those are read, not lost
                    yield Pending(item, reason=item.reason)
                continue
            name = next(names)
            template = item.file.with_suffix(".tem") if item.file else None
            if template is None or not template.is_file():
                yield Pending(item, reason="no .tem landmark file beside it")
                continue
            try:
                points = london.read_tem(template)
            except FaceSRError as error:
                yield Pending(item, reason=str(error))
                continue
            yield Pending(item, name, attributes=people.get(item.stem.split("_")[0].upper(), {}), points=points)

    return Work(jobs(), len([item for item in items if not item.reason]))
