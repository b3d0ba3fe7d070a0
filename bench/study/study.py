"""A study folder: ``study.json`` (frozen), ``stimuli/<opaque>.png`` and ``ratings.db``, or the address of a PostgreSQL database."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError
from facesr.bench.study.design import Design, from_json

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine

COLUMNS: dict[str, str] = {
    "rater": "name of the rater in this study: r001 for people, s001 for simulated ones, or the id found in an imported file",
    "face": "name of the face, '' for an attention item",
    "condition": "method label, 'hr' or 'nearest'; in paired comparison the left image",
    "other": "the right image in paired comparison, else ''",
    "score": "grade on the design's scale; in paired comparison 1 left, 2 right, 3 tie; NaN for anchors, which are seen and not rated",
    "kind": "main | anchor_low | anchor_high | repeat | gold | attention",
    "position": "place in the rater's session, from 1",
    "rt_ms": "milliseconds from the moment the image was shown to the answer; NaN where unknown",
    "at": "when the server stored the answer, ISO 8601, UTC",
    "simulated": "true for a simulated rater; such rows never meet people's",
    "correct": "gold and attention items: whether the answer was right; else empty",
    "first_score": "the first answer, where it was corrected at once; else equal to score",
    "revisions": "number of corrections",
    "device_pixels": "screen pixels that one image pixel covered; NaN where unknown",
    "hidden_ms": "milliseconds the page was hidden while the item was shown",
}
"""Columns of the ratings table, as ``Study.ratings`` returns it and as an export writes it."""


@dataclass(frozen=True)
class Study:
    """A study on disk. An imported study has ``ratings.parquet`` instead of a database, and no design."""

    path: Path
    info: dict[str, Any]
    url: str = ""
    _engines: list[Engine] = field(default_factory=list, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.info["name"])

    @property
    def digest(self) -> str:
        """sha256 over design and plan."""
        return str(self.info["digest"])

    @property
    def imported(self) -> bool:
        """Whether the ratings came from another program's file."""
        return self.info.get("kind") == "import"

    @cached_property
    def design(self) -> Design:
        """The frozen design; a changed file or an imported study is refused with one sentence."""
        if self.imported:
            raise FaceSRError(f"{self.path} holds imported ratings, which have no design of ours")
        return from_json(self.info, self.path / "study.json")

    @property
    def method(self) -> str:
        """acr | acr-hr | pair; imported ratings are read as acr."""
        return "acr" if self.imported else self.design.method

    @property
    def scale(self) -> tuple[int, int]:
        """Lowest and highest grade."""
        low, high = self.info["scale"]
        return int(low), int(high)

    @property
    def analysis(self) -> dict[str, Any]:
        """The analysis plan that was frozen with the design; empty for imported ratings."""
        return dict(self.info.get("analysis", {}))

    @property
    def engine(self) -> Engine:
        """The database, opened, brought up to date and checked to belong to this design."""
        if not self._engines:
            self._engines.append(self._open())
        return self._engines[0]

    def _open(self) -> Engine:
        from sqlalchemy import select

        from facesr.bench.study import tables
        from facesr.bench.study.database import connect, migrate

        _ = self.design
        engine = connect(self.url)
        migrate(engine)
        with engine.connect() as connection:
            digest = connection.execute(select(tables.study.c.digest)).scalar_one_or_none()
        if digest is None:
            raise FaceSRError(f"the database of {self.path} is empty: it is not the one the study was created with")
        if digest != self.digest:
            raise FaceSRError(
                f"the database belongs to another study (digest {digest[:12]}, not {self.digest[:12]}): check --database"
            )
        return engine

    @cached_property
    def secret(self) -> bytes:
        """A key of this study, for pseudonyms, completion codes and logins; a private file beside the design."""
        file = self.path / "secret.key"
        if not file.exists():
            temporary = self.path / f".secret.{os.getpid()}"
            temporary.write_text(secrets.token_hex(32), encoding="ascii")
            temporary.chmod(0o600)
            temporary.replace(file)
        return file.read_text(encoding="ascii").strip().encode()

    def stimulus_path(self, name: str) -> Path:
        """The PNG of an opaque name."""
        return self.path / "stimuli" / f"{name}.png"

    @property
    def scores(self) -> tuple[int, ...]:
        """Answers a rater can give."""
        if self.method == "pair":
            return (1, 2, 3) if self.design.ties else (1, 2)
        return tuple(range(self.scale[0], self.scale[1] + 1))

    def ratings(self, *, simulated: bool = False, excluded: bool = False) -> pd.DataFrame:
        """The ratings with the columns of ``COLUMNS``: people's, or with ``simulated`` the simulated ones, never both.

        Raters who were replaced or excluded are left out unless ``excluded`` is set.
        """
        from facesr.bench.study.reading import ratings

        return ratings(self, simulated=simulated, excluded=excluded)

    def finished(self, *, simulated: bool = False) -> int:
        """How many raters count towards the stopping rule: they finished and are not excluded."""
        from facesr.bench.study.reading import raters

        table = raters(self)
        return int(((table["status"] == "done") & (table["simulated"] == simulated) & (table["excluded"] == "")).sum())

    def may_show_means(self) -> bool:
        """The stopping rule: True once as many people as the design demands have finished. Imported studies are finished ones."""
        return self.imported or self.finished() >= self.design.raters_to_finish

    def peek(self, who: str, reason: str) -> None:
        """Note that someone looked at means before the stopping rule was met; exports and reports carry the note."""
        from facesr.bench.study.database import writing
        from facesr.bench.study.store import log

        with writing(self.engine) as connection:
            log(connection, "peek", who=who, reason=reason, finished=self.finished())

    def peeks(self) -> list[Mapping[str, Any]]:
        """Every early look at the means: ``at``, ``who``, ``reason``, and how many raters had finished."""
        if self.imported:
            return []
        from sqlalchemy import select

        from facesr.bench.study.tables import event

        with self.engine.connect() as connection:
            rows = connection.execute(select(event.c.at, event.c.detail).where(event.c.kind == "peek").order_by(event.c.id)).all()
        return [{"at": at, **json.loads(detail)} for at, detail in rows]

    def means(self, *, simulated: bool = False) -> dict[str, float]:
        """MOS of each condition (share of wins in paired comparison). Ask ``may_show_means`` first, or ``peek``."""
        table = self.ratings(simulated=simulated)
        if self.method == "pair":
            from facesr.bench.study.pairs import wins

            names, won = wins(table, self.design.conditions)
            total = won.sum(0)
            return {n: float(total[i].sum() / max(1.0, total[i].sum() + total[:, i].sum())) for i, n in enumerate(names)}
        main = table[table["kind"] == "main"]
        return {str(c): float(m) for c, m in main.groupby("condition")["score"].mean().items()}

    def close(self) -> None:
        """Give the database connections back."""
        while self._engines:
            self._engines.pop().dispose()


def load(path: Path | str, database: str | None = None) -> Study:
    """Open a study folder. ``database``: its URL, where it is neither ``ratings.db`` nor noted in ``database.url``."""
    folder = Path(path)
    file = folder / "study.json"
    if not file.is_file():
        raise FaceSRError(f"{folder} is not a study: it has no study.json; 'facesr study create RUN' makes one")
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FaceSRError(f"{file} cannot be read ({error})") from None
    if not isinstance(info, dict) or info.get("kind") not in {"study", "import"}:
        raise FaceSRError(f"{file} is not a study's description: it lacks kind 'study' or 'import'")
    note = folder / "database.url"
    url = database or (
        note.read_text(encoding="utf-8").strip() if note.is_file() else f"sqlite:///{(folder / 'ratings.db').resolve()}"
    )
    return Study(folder, info, url)
