"""Five landmarks per face: read from a CSV, matched to images by name, and checked for what a face can look like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from facesr.bench.data.names import same
from facesr.bench.errors import FaceSRError
from facesr.bench.reading import csv_rows, read_text

Points = tuple[tuple[float, float], ...]


def implausible(points: Sequence[Sequence[float]]) -> str:
    """Why five points (left eye, right eye, nose, mouth corners, as seen in the image) cannot be an upright face's, or ''."""
    (lx, ly), (rx, ry), (nx, ny), (ax, ay), (bx, by) = points
    across, down = np.array([rx - lx, ry - ly]), np.array([(ax + bx - lx - rx) / 2, (ay + by - ly - ry) / 2])
    if rx <= lx or bx <= ax:
        return "the left eye or mouth corner lies right of the right one, as seen in the image"
    if down[1] <= 0:
        return "the eyes lie below the mouth: is the photo upside down?"
    if across[0] * down[1] - across[1] * down[0] <= 0.1 * float(np.hypot(*across) * np.hypot(*down)):
        return "eyes and mouth lie on one line"
    nose = np.array([nx - (lx + rx) / 2, ny - (ly + ry) / 2])
    along, aside = float(nose @ down / (down @ down)), float(nose @ across / (across @ across))
    if not (-0.25 <= along <= 1.25 and abs(aside) <= 1.5):  # in profile it lies beside both eyes, never far above or below
        return "the nose does not lie between eyes and mouth"
    return ""


class LandmarkFile:
    """Points by image from CSV: file name, then x, y of left eye, right eye, nose, left and right mouth corner (image coordinates)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.points: dict[str, Points] = {}
        problems: list[str] = []
        for number, row in enumerate(csv_rows(read_text(path), str(path)), 1):
            if not any(cell.strip() for cell in row):
                continue
            found = _numbers(row)
            key = same(row[0].strip().replace("\\", "/"))
            if found is None:
                if number > 1:
                    problems.append(str(number))
            elif self.points.setdefault(key, found) != found:
                problems.append(f"{number} (other points for {row[0]})")
        if problems or not self.points:
            raise FaceSRError(f"{path}: lines {', '.join(problems[:5]) or 'all'} are not 'file, x1, y1, ..., x5, y5'")

    def match(self, names: Iterable[str]) -> dict[str, Points]:
        """Points of the images ``names``: by path, by file name, by stem; the last two only where no other image has the same."""
        listed = list(names)
        by_file, by_stem = (Counter(same(part(name)) for name in listed) for part in (_file, _stem))
        rows_by_stem = Counter(same(_stem(key)) for key in self.points)
        stems = {same(_stem(key)): p for key, p in self.points.items() if rows_by_stem[same(_stem(key))] == 1}
        found: dict[str, Points] = {}
        for name in listed:
            keys = [same(name), same(name.rpartition(".")[0])]
            keys += [same(_file(name))] if by_file[same(_file(name))] == 1 else []
            points = next((self.points[k] for k in keys if k in self.points), None)
            if points is None and by_stem[same(_stem(name))] == 1:
                points = stems.get(same(_stem(name)))
            if points is not None:
                found[name] = points
        return found


def _file(name: str) -> str:
    return PurePosixPath(name).name


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _numbers(row: Sequence[str]) -> Points | None:
    try:
        numbers = [float(v) for v in row[1:11]]
    except ValueError:
        return None
    if len(numbers) != 10 or any(cell.strip() for cell in row[11:]) or not np.isfinite(numbers).all():
        return None
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
