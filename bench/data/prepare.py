"""Preparing faces: align where asked, reduce by one declared filter, save as PNG, and hash everything in a manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from facesr import __version__
from facesr.bench.data import celebahq, london
from facesr.bench.data.dataset import MANIFEST, prepared_folder, read_manifest
from facesr.bench.data.sources import Item, items, read_landmark_file
from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.faces import U8
from facesr.bench.imaging.files import write_png, write_whole
from facesr.bench.imaging.resample import resize8
from facesr.bench.weights import with_fetch

Points = tuple[tuple[float, float], ...]
MAX_OUTSIDE = 0.25
"""A frame that lies further outside its photo than this share is rejected; below it, the share is noted."""
KNOWN = {
    "celeba-hq": "CelebA-HQ (Karras 2018): 30,000 faces, 1024 px; non-commercial research; split by CelebA's official partition",
    "ffhq": "FFHQ (Karras 2019): 70,000 faces, 1024 px, images1024x1024/00000/00000.png; CC BY-NC-SA and per image",
    "london": "Face Research Lab London Set (DeBruine and Jones 2017): 102 adults, 1350 px, with landmarks; CC BY 4.0",
    "demo": "eight faces sampled from a generator, 128 px, part of this project; nobody's portrait",
}


class RejectedError(Exception):
    """Why a face is not in the prepared set; it is listed in the manifest."""


@dataclass(frozen=True)
class Request:
    """What to prepare. ``align``: bring unaligned photos to the CelebA-HQ/FFHQ frame; ``landmarks``: a CSV of five points an image."""

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

    @property
    def folder(self) -> Path:
        """Where it goes."""
        return self.out or prepared_folder(self.dataset, self.size)


@dataclass(frozen=True)
class Job:
    """One image on its way: the name it will have, and what is known of it."""

    item: Item
    name: str
    split: str = "all"
    attributes: Mapping[str, str] = field(default_factory=dict)
    points: Points | None = None


def prepare(request: Request, progress: Callable[[str, int, int], None] = lambda what, done, total: None) -> dict[str, Any]:
    """Prepare a data set; returns its manifest. A face that cannot be used is listed with its reason, never dropped silently."""
    if not request.source.exists():
        raise FaceSRError(f"no folder or archive {request.source}")
    jobs, rejected, total = _jobs(request)
    folder = request.folder
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FaceSRError(f"{folder}: cannot be written ({error.strerror})") from None
    rows: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    for done, (job, result) in enumerate(_in_order(request, jobs), 1):
        progress("prepare", done, total.get(request.split, total["all"]))
        if isinstance(result, str):
            rejected.append({"source": job.item.name, "reason": result})
        elif result["sha256"] in seen:
            rejected.append({"source": job.item.name, "reason": f"the same image as {seen[result['sha256']]}"})
            if job.name != seen[result["sha256"]]:
                (folder / result["file"]).unlink(missing_ok=True)
        else:
            seen[result["sha256"]] = job.name
            rows.append(result)
    if not rows:
        reasons = "; ".join(f"{r['source']}: {r['reason']}" for r in rejected[:3])
        raise FaceSRError(f"{request.source}: no usable face ({len(rejected)} rejected: {reasons})")
    manifest = _manifest(request, rows, rejected, total)
    write_whole(folder / MANIFEST, json.dumps(manifest, indent=1))
    return manifest


def _manifest(
    request: Request, rows: list[dict[str, Any]], rejected: list[dict[str, str]], total: dict[str, int]
) -> dict[str, Any]:
    """The manifest; splits prepared earlier into the same folder stay."""
    if (request.folder / MANIFEST).is_file():
        old = read_manifest(request.folder)
        new = {row["file"] for row in rows}
        if old.get("size") == request.size and old.get("reduce") == request.reduce:
            splits = {row["split"] for row in rows}
            rows += [row for row in old["faces"] if row.get("split") not in splits and row["file"] not in new]
    fixed = total if request.dataset == "celeba-hq" else {"all": len(rows) + len(rejected)}
    return {
        "name": request.dataset,
        "size": request.size,
        "reduce": request.reduce,
        "aligned_here": request.align or request.dataset == "london",
        "made_by": f"facesr {__version__}",
        "total": fixed,
        "faces": sorted(rows, key=lambda r: str(r["file"])),
        "rejected": rejected,
    }


def _in_order(request: Request, jobs: Iterator[Job]) -> Iterator[tuple[Job, dict[str, Any] | str]]:
    """Work in threads on a few images at a time, so that memory stays flat; results come in order."""
    with ThreadPoolExecutor(request.workers) as pool:
        waiting: list[tuple[Job, Future[dict[str, Any] | str]]] = []
        for job in jobs:
            waiting.append((job, pool.submit(_one, request, job)))
            if len(waiting) >= 2 * request.workers:
                first, future = waiting.pop(0)
                yield first, future.result()
        for job, future in waiting:
            yield job, future.result()


def _one(request: Request, job: Job) -> dict[str, Any] | str:
    try:
        image, points, note = _bring(request, job, job.item.decode())
    except WeightsMissing:
        raise  # no detector on this machine: that is not the face's fault
    except (RejectedError, FaceSRError) as error:
        return str(error).removeprefix(f"{job.item.file}: ").removeprefix(f"{job.item.name}: ")
    file = f"images/{job.name}.png"
    data = write_png(request.folder / file, image)
    row: dict[str, Any] = {"file": file, "sha256": hashlib.sha256(data).hexdigest(), "source": job.item.name, "split": job.split}
    row |= {"attributes": dict(job.attributes), "landmarks": points and [[round(x, 2), round(y, 2)] for x, y in points]}
    return row | ({"note": note} if note else {})


def _bring(request: Request, job: Job, image: U8) -> tuple[U8, Points | None, str]:
    """An image at the target size, its landmarks there, and what should be noted of it."""
    size = request.size
    if not (request.align or job.points):
        height, width, _ = image.shape
        if height != width:
            raise RejectedError(f"{width} x {height} pixels is not square: not an aligned face (use --align)")
        if height < size:
            raise RejectedError(f"{width} x {height} pixels: too small, would need enlarging to {size}")
        return resize8(image, size, request.reduce), None, ""
    from facesr.bench.align import align_ffhq, map_points

    points = job.points or _detect(image)
    aligned = align_ffhq(image, np.asarray(points), size, reduce="box" if request.reduce == "box" else "lanczos")
    if aligned.scale > 1:
        raise RejectedError(f"the face's frame has {aligned.frame.side:.0f} pixels: too small, would need enlarging to {size}")
    if aligned.out_of_frame > MAX_OUTSIDE:
        raise RejectedError(f"{aligned.out_of_frame:.0%} of the face's frame lies outside the photo")
    return aligned.image, map_points(points, aligned.frame, size), "; ".join(aligned.reasons)


def _detect(image: U8) -> Points:
    from facesr.bench.detect import detect, main_face

    face = main_face(with_fetch(lambda: detect(image)), (image.shape[0], image.shape[1]))
    if face is None:
        raise RejectedError("no face found")
    return face.points


def _jobs(request: Request) -> tuple[Iterator[Job], list[dict[str, str]], dict[str, int]]:
    """The images to prepare, those refused before decoding, and how many faces each split has in all."""
    if request.dataset == "celeba-hq":
        return _celebahq(request)
    if request.dataset == "london":
        return _london(request)
    if request.dataset == "demo":
        raise FaceSRError("the demo faces come with the project: there is nothing to prepare")
    points = read_landmark_file(request.landmarks) if request.landmarks else {}
    listed = list(items(request.source)) if request.source.is_dir() and not points else None
    count = len(listed) if listed is not None else sum(1 for _ in items(request.source))
    rejected: list[dict[str, str]] = []

    def jobs() -> Iterator[Job]:
        taken: set[str] = set()
        for item in listed or items(request.source):
            name = item.stem if item.stem not in taken else item.name.rpartition(".")[0].replace("/", "-")
            taken.add(name)
            if request.landmarks and item.stem not in points:
                rejected.append({"source": item.name, "reason": f"no landmarks in {request.landmarks.name}"})
            else:
                yield Job(item, name, points=points.get(item.stem))

    return jobs(), rejected, {"all": count}


def _celebahq(request: Request) -> tuple[Iterator[Job], list[dict[str, str]], dict[str, int]]:
    if request.split not in celebahq.TOTALS:
        raise FaceSRError(f"CelebA-HQ has no split {request.split!r}: choose from: {', '.join(celebahq.TOTALS)}")
    splits = celebahq.read_mapping(celebahq.find_mapping(request.source, request.mapping))
    names = [(i.stem, i.name) for i in items(request.source)]
    celebahq.refuse_renumbered(
        (s for s, _ in names), {part for _, n in names for part in n.split("/")[:-1]} | {request.source.name}
    )
    rejected: list[dict[str, str]] = []

    def jobs() -> Iterator[Job]:
        seen: set[int] = set()
        for item in items(request.source):
            index = celebahq.index_of(item.stem)
            if index is None:
                rejected.append({"source": item.name, "reason": "its name holds no CelebA-HQ index from 0 to 29999"})
            elif request.split in ("all", splits[index]):
                if index in seen:
                    rejected.append({"source": item.name, "reason": f"CelebA-HQ index {index} is there twice"})
                    continue
                seen.add(index)
                yield Job(item, f"{index:05d}", splits[index])

    return jobs(), rejected, dict(celebahq.TOTALS)


def _london(request: Request) -> tuple[Iterator[Job], list[dict[str, str]], dict[str, int]]:
    people = london.read_info(request.source)
    listed = list(items(request.source))
    rejected: list[dict[str, str]] = []

    def jobs() -> Iterator[Job]:
        for item in listed:
            template = item.file.with_suffix(".tem") if item.file else None
            if template is None or not template.is_file():
                rejected.append({"source": item.name, "reason": "no .tem landmark file beside it"})
                continue
            try:
                points = london.read_tem(template)
            except FaceSRError as error:
                rejected.append({"source": item.name, "reason": str(error)})
                continue
            yield Job(item, item.stem, attributes=people.get(item.stem.split("_")[0].upper(), {}), points=points)

    return jobs(), rejected, {"all": len(listed)}
