"""The result tables on disk: ``scores.parquet``, one row a cell, documented as a type.

``run.json`` beside it holds protocol, digest, methods with versions and weight hashes, machine, seeds and times.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
"""Version of the run folder's layout."""

COLUMNS: dict[str, str] = {
    "image": "name of the face, or '*' for a score of the whole set (FID, retrieval)",
    "method": "label of the method in this run",
    "scale": "downscaling factor",
    "metric": "name of the metric",
    "value": "the score; NaN where there is none",
    "status": "ok | missing | no_face | not_converged | failed | weights_missing | skipped",
    "reason": "one sentence where the status is not ok, else ''",
    "low": "lower end of the metric's own interval (set scores), else NaN",
    "high": "upper end, else NaN",
    "n": "images behind the value: 1, or the set's size",
    "seconds": "restoration time of this face by this method, batch time shared evenly; NaN where unknown",
}
"""A ``not_converged`` row keeps the value of the image that was kept; means leave it out, and count it as failed.
The consistency metrics are the exception: their rows are ``ok`` then, since a missed ε is what they measure."""


@dataclass(frozen=True)
class Run:
    """A finished or half-finished run folder."""

    path: Path
    info: dict[str, Any]

    @property
    def protocol(self) -> dict[str, Any]:
        """The protocol as stored, ``[data]``, ``[degradation]`` and so on as nested dicts."""
        protocol: dict[str, Any] = self.info["protocol"]
        return protocol

    @property
    def digest(self) -> str:
        """sha256 over what matters of protocol and data; results of two digests never meet in one table."""
        return str(self.info["digest"])

    @property
    def methods(self) -> list[str]:
        """Labels of the methods, in the order asked for."""
        return [str(m["label"]) for m in self.info["methods"]]

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """For each metric: label, higher_is_better, unit, digits, range, conventions, source, weights."""
        metrics: dict[str, dict[str, Any]] = self.info["metrics"]
        return metrics

    @property
    def faces(self) -> list[dict[str, Any]]:
        """For each face: name, path, sha256, attributes, landmarks."""
        return list(self.info["faces"])

    @property
    def scales(self) -> list[int]:
        """The protocol's downscaling factors."""
        return [int(s) for s in self.info["scales"]]

    def scores(self) -> pd.DataFrame:
        """The long table, with the columns of ``COLUMNS``."""
        import pandas as pd

        file = self.path / "scores.parquet"
        if not file.is_file():
            raise FaceSRError(f"{self.path} has no scores.parquet yet: let the run finish, or call it again to go on")
        frame: pd.DataFrame = pd.read_parquet(file)
        return frame

    def lr_path(self, face: str, scale: int) -> Path:
        """The LR image of a face."""
        return self.path / "lr" / (f"x{scale}" if len(self.scales) > 1 else "") / f"{face}.png"

    def sr_path(self, method: str, face: str, scale: int) -> Path:
        """The SR image of a face by a method."""
        return self.path / "sr" / method / (f"x{scale}" if len(self.scales) > 1 else "") / f"{face}.png"

    def hr_path(self, face: str) -> Path:
        """The HR image of a face, as measured (the prepared file)."""
        return Path(next(f["path"] for f in self.faces if f["name"] == face))


def load(path: Path | str) -> Run:
    """Open a run folder; a folder that is none, or of another layout version, gives one sentence."""
    folder = Path(path)
    file = folder / "run.json"
    if not file.is_file():
        raise FaceSRError(f"{folder} is not a run: it has no run.json")
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FaceSRError(f"{file} cannot be read ({error}): call the run again to rewrite it") from None
    if info.get("format") != FORMAT:
        raise FaceSRError(f"{folder} has layout version {info.get('format')}, this facesr reads {FORMAT}: run it again")
    return Run(folder, info)
