"""Face Research Lab London Set (DeBruine and Jones 2017, CC BY 4.0): originals with 189 landmarks, and who they show."""

from __future__ import annotations

import csv
from pathlib import Path

from facesr.bench.errors import FaceSRError


def read_tem(path: Path) -> tuple[tuple[float, float], ...]:
    """Five points from a ``.tem`` template of 189: the pupils (0, 1), the nose's tip (mean of 54 and 60), the mouth's corners (87, 93)."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        count = int(lines[0])
        points = [tuple(map(float, line.split()[:2])) for line in lines[1 : count + 1]]
    except (OSError, ValueError, IndexError) as error:
        raise FaceSRError(f"{path}: not a landmark template ({error})") from None
    if len(points) != 189:
        raise FaceSRError(f"{path}: {len(points)} landmarks, the London set has 189")
    nose = tuple((a + b) / 2 for a, b in zip(points[54], points[60], strict=True))
    return tuple((float(x), float(y)) for x, y in (points[0], points[1], nose, points[87], points[93]))


def read_info(source: Path) -> dict[str, dict[str, str]]:
    """Age, gender and group by the person's number, from ``london_*info.csv`` beside the images or above them; empty without one."""
    files = [f for place in (source, source.parent) for f in sorted(place.glob("london*info*.csv"))]
    if not files:
        return {}
    people: dict[str, dict[str, str]] = {}
    with files[0].open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            person = next((v for k, v in row.items() if k and "id" in k.lower()), "").upper().lstrip("X")
            values = {
                "age": row.get("face_age", ""),
                "gender": row.get("face_sex", row.get("face_gender", "")),
                "group": row.get("face_eth", ""),
            }
            people[person] = {k: v for k, v in values.items() if v}
    return people
