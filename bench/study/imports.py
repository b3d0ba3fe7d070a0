"""Other people's ratings kept as a study folder, so that every analysis takes them like those of one of our own."""

from __future__ import annotations

import hashlib
import io
import json
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.ratings import UNUSED, Imported, Options, read
from facesr.bench.ratings.folder import files_of
from facesr.bench.reading import MAX_FILE, file_sha256, read_text
from facesr.bench.study.database import now
from facesr.bench.study.design import FORMAT, with_digest
from facesr.bench.study.imported import declared_plan
from facesr.bench.study.study import Study, load_study
from facesr.bench.tables import write_csv

if TYPE_CHECKING:
    import pandas as pd

FILE = "unused.csv"
"""File of an imported study: every cell of the source that is not used, with row, column and reason."""


def into_study(path: Path, folder: Path, asked: Options | None = None, plan: Mapping[str, Any] | None = None) -> Study:
    """Read ``path`` and keep it as a study folder: ratings, the list of unused cells, what was understood, and a plan of analysis.

    ``plan``: entries of the analysis plan (``screening``, ``reference``, ``equivalence_margin``, ``alpha``, ...), declared after the ratings
    were given, which the report says. Raises ``FaceSRError`` with every problem; no folder is left then.
    """
    if folder.exists():
        raise FaceSRError(f"{folder} exists already: a study is never overwritten; choose another --out")
    found = read(path, asked)
    info = with_digest({
        "format": FORMAT,
        "kind": "import",
        "name": folder.name,
        "method": found.method,
        "scale": [found.scale.low, found.scale.high],
        "source": {"file": path.name, "sha256": _sha256(path), "format": found.format},
        "notes": list(found.notes),
        "counts": found.counts,
        "unused": {str(reason): int(n) for reason, n in found.unused["reason"].value_counts().items()},
        **_plan(plan or {}, found, path),
        "imported": now(),
    })  # fmt: skip
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
        found.table.to_parquet(part / "ratings.parquet", index=False)
        write_csv(part / FILE, found.unused)
        (part / "study.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return load_study(folder)


def _sha256(path: Path) -> str:
    """Of a file's bytes; of a folder, of the names and digests of its tables."""
    if not path.is_dir():
        return file_sha256(path)
    lines = [f"{file_sha256(f)}  {f.name}" for f in files_of(path)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _plan(given: Mapping[str, Any], found: Imported, path: Path) -> dict[str, Any]:
    """The plan, which of its entries were declared, and the reference in the spelling of the table."""
    entries = dict(given)
    reference = str(entries.pop("reference", ""))
    scale = (found.scale.low, found.scale.high)
    made: dict[str, Any] = {"analysis": declared_plan(entries, found.method, scale, str(path)), "declared": sorted(given)}
    if reference:
        known = {str(c).casefold(): str(c) for c in found.table["condition"].unique()}
        if found.method == "pair":
            raise FaceSRError(f"--reference {reference!r}: pairs have no grades to take differences of")
        if reference.casefold() not in known:
            raise FaceSRError(f"--reference {reference!r} is no condition of this file: {suggest(reference, known.values())}")
        made["reference"] = known[reference.casefold()]
    return made


def unused(study: Study) -> pd.DataFrame:
    """The cells of an imported study's source that are not used (columns of ``ratings.UNUSED``); empty for other studies."""
    import pandas as pd

    file = study.path / FILE
    if not file.is_file():
        return pd.DataFrame(columns=list(UNUSED))
    try:
        table = pd.read_csv(io.StringIO(read_text(file, MAX_FILE)), dtype=dict.fromkeys(UNUSED, str), keep_default_na=False)
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        raise FaceSRError(f"{file} is damaged ({str(error).splitlines()[0][:120]}): import the ratings again") from None
    if list(table.columns) != list(UNUSED):
        raise FaceSRError(f"{file} is damaged (its columns are not {', '.join(UNUSED)}): import the ratings again")
    return table
