"""Which database a study's folder belongs to: its own file, or one on a server that this user has named for it."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from facesr.bench.errors import FaceSRError
from facesr.bench.reading import read_text
from facesr.bench.study.database import private, sqlite_url

NOTE = "database.url"


def note_database(folder: Path, digest: str, url: str) -> None:
    """Write down where the ratings of a new study are; the file may hold a password."""
    private(folder / NOTE, url + "\n")
    trust_database(digest, url)


def trust_database(digest: str, url: str) -> None:
    """Remember, for this user on this machine, that the study of that digest may connect to that database."""
    with suppress(OSError, RuntimeError, FaceSRError):  # no home, a disk that is read only: it is named with --database each time
        file = _trusted()
        known = read_text(file).split() if file.exists() else []
        if (mark := _mark(digest, url)) not in known:
            file.parent.mkdir(parents=True, exist_ok=True)
            private(file, "".join(f"{line}\n" for line in [*known[-999:], mark]))


def database_of(folder: Path, digest: str) -> str:
    """The URL of a study's database.

    A folder may come from a stranger, and opening a database means connecting to it, with one's own name and password, or writing to a file.
    So a note in the folder counts only where this user made it ('create', 'restore') or has named that database for this study before, and a
    link from ``ratings.db`` out of the folder never does.
    """
    note, own = folder / NOTE, folder / "ratings.db"
    if not note.exists():
        if not own.resolve().is_relative_to(folder.resolve()):
            raise FaceSRError(
                f"{own} is a link to {own.resolve()}, outside the study's folder: if that is meant, name it with --database"
            )
        return sqlite_url(own.resolve())
    url = read_text(note).strip()
    with suppress(OSError, RuntimeError):
        if _mark(digest, url) in read_text(_trusted()).split():
            return url
    raise FaceSRError(
        f"{note} names a database ({_bare(url)}) that you have not named for this study on this machine, and opening it would connect to it "
        f"as you: if that is meant, give the address once with --database; it is remembered"
    )


def _trusted() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "facesr" / "databases"


def _mark(digest: str, url: str) -> str:
    return hashlib.sha256(f"{digest}\n{url}".encode()).hexdigest()


def _bare(url: str) -> str:
    """The address without a password, at most 80 characters of it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"[:80]
