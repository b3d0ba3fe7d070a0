"""Face Research Lab London Set (DeBruine and Jones 2017, CC BY 4.0): originals with 189 landmarks, and who they show."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.reading import read_text


def read_tem(path: Path) -> tuple[tuple[float, float], ...]:
    """Five points from a ``.tem`` template of 189: the pupils (0, 1), the nose's tip (mean of 54 and 60), the mouth's corners (87, 93)."""
    try:
        lines = read_text(path).split("\n")
        count = int(lines[0])
        points = [tuple(map(float, line.split()[:2])) for line in lines[1 : count + 1]]
    except (ValueError, IndexError) as error:
        raise FaceSRError(f"{path}: not a landmark template ({error})") from None
    if len(points) != 189 or any(len(p) != 2 for p in points):
        raise FaceSRError(f"{path}: {len(points)} landmarks, the London set has 189")
    nose = tuple((a + b) / 2 for a, b in zip(points[54], points[60], strict=True))
    return tuple((float(x), float(y)) for x, y in (points[0], points[1], nose, points[87], points[93]))


def read_people(source: Path) -> tuple[dict[str, dict[str, str]], Path | None]:
    """Age, gender and group by the person's number, from ``london_*info.csv`` beside the images or above them, and that file."""
    files = [f for place in (source, source.parent) for f in sorted(place.glob("london*info*.csv"))]
    if not files:
        return {}, None
    people: dict[str, dict[str, str]] = {}
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(files[0]))))
    except csv.Error as error:
        raise FaceSRError(f"{files[0]}: not CSV ({error})") from None
    for row in rows:
        person = next((v for k, v in row.items() if k and "id" in k.lower() and v), "").upper().lstrip("X")
        values = {
            "age": row.get("face_age", ""),
            "gender": row.get("face_sex", row.get("face_gender", "")),
            "group": row.get("face_eth", ""),
        }
        people[person] = {k: v for k, v in values.items() if v}
    return people, files[0]
