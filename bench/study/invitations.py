"""Raters invited together: their links as a table for mail merge, each row with what a list of people said of the person."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.reading import csv_rows, read_text
from facesr.bench.study import address, reading, store
from facesr.bench.study.database import private_bytes
from facesr.bench.study.study import Study
from facesr.bench.tables import safe_cell

MOST_PEOPLE = 10_000


@dataclass(frozen=True)
class Invitation:
    """A rater's name in the study, the personal link, and the columns of a list of people."""

    rater: str
    link: str
    person: dict[str, str] = field(default_factory=dict)


def read_contacts(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV (``,`` ``;`` or tab) with a header, such as name and e-mail; it is merged with the links and kept nowhere else."""
    text = read_text(file)
    rows = [row for row in csv_rows(text, str(file)) if any(c.strip() for c in row)]
    names, *people = [[c.strip() for c in row] for row in rows] or [[]]
    if not people or len(set(names)) < len(names) or "" in names:
        raise FaceSRError(
            f"{file} is no table of people: write CSV with a header of different names, such as name,email, and a row per person"
        )
    if clash := sorted({"rater", "link"} & {n.casefold() for n in names}):
        raise FaceSRError(f"{file} has a column {clash[0]!r}, which is the name of a column that is added: give it another name")
    if len(people) > MOST_PEOPLE:
        raise FaceSRError(f"{file} has {len(people):,} people; at most {MOST_PEOPLE:,} are invited at once")
    if wrong := [k for k, row in enumerate(people, 2) if len(row) != len(names)]:
        raise FaceSRError(f"{file}: row {wrong[0]} has not as many cells as the header ({len(names)})")
    return [dict(zip(names, row, strict=True)) for row in people]


def still_needed(study: Study) -> tuple[int, int]:
    """How many people are invited, and how many the design still needs."""
    people = reading.raters(study)
    there = int((~people["simulated"].astype(bool) & ~people["status"].isin(["replaced", "deleted"])).sum()) if len(people) else 0
    return there, max(0, study.design.raters - there)


def invite_raters(study: Study, count: int, url: str, people: Sequence[dict[str, str]] = ()) -> list[Invitation]:
    """Invite ``count`` raters, or one per row of ``people``. Tokens are stored hashed: the links exist in the result alone."""
    found = []
    for k in range(len(people) or count):
        rater, token = store.seat_rater(study.engine, rows=study.design.raters)
        found.append(Invitation(rater.name, address.link(url, token), people[k] if people else {}))
    return found


def merge_csv(invitations: Sequence[Invitation]) -> str:
    """A table for mail merge. Beside a list of people it leaves out the rater's name, so that names and ratings do not meet in one file.

    A text that a spreadsheet would run as a formula gets a quote before it.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    named = any(i.person for i in invitations)
    writer.writerow([safe_cell(h) for h in (*invitations[0].person, "link")] if named else ["rater", "link"])
    for each in invitations:
        cells = list(each.person.values()) if named else [each.rater]
        writer.writerow([safe_cell(" ".join(c.split())) for c in cells] + [each.link])
    return text.getvalue()


def write_links(file: Path, invitations: Sequence[Invitation]) -> None:
    """Write ``merge_csv``, readable by its owner alone: whoever has a link rates in its owner's name."""
    private_bytes(file, merge_csv(invitations).encode())
