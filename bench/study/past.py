"""Studies whose raters may not take part in a new one: recognised by the old study's keyed hashes, never by their ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from facesr.bench.errors import FaceSRError
from facesr.bench.reading import parse_json, read_text
from facesr.bench.study import tables as t
from facesr.bench.study.design import PastStudy
from facesr.bench.study.store import pseudonym
from facesr.bench.study.study import Study, load_study


@dataclass(frozen=True)
class KnownRaters:
    """Who took part in a past study: its key, and the keyed hashes of its raters."""

    study: PastStudy
    secret: str
    pseudonyms: frozenset[str]

    def knows(self, source: str, worker: str) -> bool:
        """Whether this worker took part."""
        return pseudonym(self.secret.encode(), source, worker) in self.pseudonyms


def past_study(folder: Path) -> KnownRaters:
    """The raters of a study folder, as they are now."""
    study = load_study(folder)
    if study.imported:
        raise FaceSRError(f"{folder} holds imported ratings, whose raters cannot be recognised")
    try:
        with study.engine.connect() as connection:
            found = connection.execute(select(t.rater.c.pseudonym).where(t.rater.c.pseudonym.is_not(None))).scalars().all()
    finally:
        study.close()
    return KnownRaters(PastStudy(study.name, study.digest), study.secret.decode(), frozenset(found))


def past_json(known: Sequence[KnownRaters]) -> str:
    """The text of ``past.json``, a private file: with the key in it, ids could be tried out."""
    return json.dumps([{"digest": k.study.digest, "secret": k.secret, "pseudonyms": sorted(k.pseudonyms)} for k in known])


def took_part_before(study: Study, source: str, worker: str) -> str:
    """Name of the past study a worker took part in; '' for none. A study that declares past ones does not run without their file."""
    if not study.design.past:
        return ""
    try:
        found = {entry["digest"]: entry for entry in parse_json(read_text(study.path / "past.json"), "past.json")}
        known = [KnownRaters(p, found[p.digest]["secret"], frozenset(found[p.digest]["pseudonyms"])) for p in study.design.past]
    except (FaceSRError, ValueError, KeyError, TypeError):
        raise FaceSRError(
            f"{study.path / 'past.json'} is missing or damaged, and with it who may not take part: put it back"
        ) from None
    return next((k.study.name for k in known if k.knows(source, worker)), "")
