"""The files of a run folder that belong to no cell: its lock, ``run.json``, the table, the log."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from facesr.bench.errors import Busy, FaceSRError
from facesr.bench.imaging.files import write_whole
from facesr.bench.results import CallInfo, Run, RunInfo
from facesr.bench.results.cells import FILE as CELLS
from facesr.bench.results.cells import Cells
from facesr.bench.results.run import score_rows
from facesr.bench.results.table import write_scores


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder; a second run into it gets one sentence. The lock ends with the process, however it ends.

    A folder that is no run's and has images where a run keeps its own is refused: they would be overwritten.
    """
    ours = not folder.exists()
    try:
        _refuse_foreign(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / ".lock").is_symlink():
            raise FaceSRError(f"{folder / '.lock'} is a link: remove it")
        with FileLock(folder / ".lock", timeout=0):
            try:
                yield
            except FaceSRError:
                if ours and not (folder / "run.json").exists():  # refused before any work: nothing stays of it
                    shutil.rmtree(folder, ignore_errors=True)
                raise
    except Timeout:
        raise Busy(f"{folder} is in use by another facesr run: wait for it, or choose another --out") from None
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise FaceSRError(f"{folder}: cannot be written ({error.strerror})") from None


def _refuse_foreign(folder: Path) -> None:
    """Raise ``FaceSRError`` for somebody's folder with ``lr`` or ``sr`` of its own."""
    if any((folder / name).exists() for name in ("run.json", CELLS)):
        return
    taken = [kind for kind in ("lr", "sr", "samples") if (folder / kind).is_dir() and any((folder / kind).iterdir())]
    if taken:
        raise FaceSRError(f"{folder} is no run, and its folder {taken[0]!r} would be written into: choose another --out")


def utc_now() -> str:
    """ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def seen_from(folder: Path, file: Path) -> str:
    """A file's path from the run folder, so that both can move together; absolute where there is none (another drive)."""
    try:
        return Path(os.path.relpath(file, folder.resolve())).as_posix()
    except ValueError:
        return str(file)


def write_info(folder: Path, info: RunInfo, previous: Run | None, started: str = "") -> None:
    """Write ``run.json``, unless nothing in it but the clock would be different."""
    old = previous.info if previous else None
    if old and old.state == "finished" and asdict(replace(old, calls=())) == asdict(replace(info, state="finished")):
        return
    call = CallInfo(started=started or utc_now(), finished=utc_now() if info.state == "finished" else None)
    write_whole(folder / "run.json", replace(info, calls=(*(old.calls if old else ()), call)).as_json())


def finish(folder: Path, info: RunInfo, cells: Cells) -> None:
    """Write the table that follows from the cells."""
    write_scores(folder, score_rows(info, cells))


def log_traces(folder: Path, traces: Iterable[str]) -> None:
    """Append tracebacks of errors in methods and metrics to ``run.log``."""
    texts, file = [f"{utc_now()} {text.rstrip()}\n\n" for text in traces], folder / "run.log"
    if texts and not file.is_symlink():
        with file.open("a", encoding="utf-8", errors="backslashreplace") as opened:
            opened.writelines(texts)
