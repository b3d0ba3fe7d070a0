"""A study's ratings as CSV and Parquet, with a manifest of hashes and a data dictionary: what a repository or a reviewer gets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr import __version__
from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import COLUMNS, UNUSED
from facesr.bench.reading import file_sha256, read_json
from facesr.bench.study import reading
from facesr.bench.study.closing import seal_of
from facesr.bench.study.database import now
from facesr.bench.study.given import PRACTICE, SCREEN, calibrations, given, with_degrees
from facesr.bench.study.imports import unused
from facesr.bench.study.study import Study
from facesr.bench.study.wording import words_digest
from facesr.bench.tables import write_csv

if TYPE_CHECKING:
    import pandas as pd

RATER_COLUMNS = {
    "name": "the rater's name in this study",
    "row": "row of the design the rater followed, from 0",
    "status": "invited | active | paused | done | replaced | deleted",
    "simulated": "true for a simulated rater",
    "source": "invited | prolific | mturk | open | simulated",
    "locale": "language of the page",
    "invited": "when, ISO 8601, UTC",
    "consent": "when, ISO 8601, UTC",
    "agreed": "sha256 of the texts the rater agreed to; study.json holds them by language",
    "finished": "when, ISO 8601, UTC",
    "departed": "why a place was given up: returned (withdrawn) | timed_out | screened",
    "px_per_degree": "device pixels in one degree of visual angle, by the rater's latest measurement with a bank card; empty without one",
    "done": "positions answered, anchors included",
    "of": "positions of the row",
    "last": "when the last answer arrived",
    "excluded": "rule and reason, '' for raters who count",
}
PRESENTATION_COLUMNS = {
    "rater": "the rater's name in this study",
    "position": "place in the session, from 1",
    "revision": "0 for the first answer, 1, 2, ... for corrections",
    "shown": "when the image was painted, by the rater's clock",
    "dpr": "device pixel ratio of the window",
    "device_pixels": "screen pixels that one image pixel covered, a whole number",
    "css_px": "width of the image in CSS pixels",
    "viewport_width": "CSS pixels",
    "viewport_height": "CSS pixels",
    "pinch": "pinch zoom; 1 is none",
    "loaded_ms": "milliseconds to load and decode the image (it was loaded ahead)",
    "hidden_ms": "milliseconds the page was hidden while the item was shown",
    "layout": "of a pair: row (side by side) | column (one above the other)",
    "degrees": "width of the image in degrees of visual angle, by the measurement before it; empty where the screen was not measured",
    "verified": "true where the browser checked the image's sha256; empty where it could not",
    "at": "when the server stored it",
}
STIMULUS_COLUMNS = {
    "name": "file name without .png, opaque",
    "face": "name of the face",
    "condition": "method label, 'hr' or 'nearest'",
    "sha256": "of the PNG file",
    "width": "pixels",
    "height": "pixels",
    "consistency": "mean squared error of the degraded image against LR, RGB in [0, 1]",
    "flag": "why the image is marked, '' for an ordinary one",
}
GIVEN_COLUMNS = {
    "rater": "the rater's name in this study",
    "step": "questionnaire | screen | practice | comment",
    "name": "the question's name in study.json, or the value's: see below",
    "value": "what was given; several choices are joined by commas; of several answers to one question the latest counts",
    "at": "when, ISO 8601, UTC",
}
EVENT_COLUMNS = {
    "at": "when, ISO 8601, UTC",
    "rater": "the rater's name; empty for the organisers' acts",
    "kind": "what happened",
    "position": "the item it happened at",
    "detail": "JSON",
}


def export(study: Study, folder: Path, *, simulated: bool = False) -> list[Path]:
    """Write ratings (every rater, excluded ones too), raters, presentations, what raters gave besides, stimuli and events; returns the files.

    Means may not be computed before the stopping rule is met, so before that an export of people's ratings counts as a peek:
    the caller logs it. Refuses a folder that holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "manifest.json").is_file():
        raise FaceSRError(f"{folder} holds other files: choose an empty folder for the export")
    tables: dict[str, tuple[pd.DataFrame, dict[str, str]]] = {
        "ratings": (study.ratings(simulated=simulated, excluded=True), COLUMNS)
    }
    if study.imported:
        tables["unused"] = (unused(study), UNUSED)
    else:
        people = reading.raters(study)
        out = study.excluded(simulated=simulated)
        people = people.assign(excluded=[out.get(name, "") for name in people["name"]])
        people = people[people["simulated"].astype(bool) == simulated]
        names = set(people["name"])
        shown, events = reading.presentations(study), reading.events(study)
        measured, told = calibrations(study), given(study)
        people = people.assign(px_per_degree=people["name"].map(measured.groupby("rater")["px_per_degree"].last()))
        tables["raters"] = (people, RATER_COLUMNS)
        tables["presentations"] = (with_degrees(shown[shown["rater"].isin(names)], measured), PRESENTATION_COLUMNS)
        tables["given"] = (told[told["rater"].isin(names)], GIVEN_COLUMNS)
        tables["stimuli"] = (_stimuli(study), STIMULUS_COLUMNS)
        tables["events"] = (events[events["rater"].isin(names) | events["rater"].isna()], EVENT_COLUMNS)
    folder.mkdir(parents=True, exist_ok=True)
    files = [file for name, (table, columns) in tables.items() for file in _write(folder, name, table[list(columns)])]
    files.append(_design(study, folder))
    files.append(_dictionary(study, folder, {name: columns for name, (_, columns) in tables.items()}))
    return [*files, _manifest(study, folder, files, {n: len(x) for n, (x, _) in tables.items()}, simulated)]


def _stimuli(study: Study) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([vars(s) for s in study.design.stimuli], columns=list(STIMULUS_COLUMNS))


def _write(folder: Path, name: str, table: pd.DataFrame) -> list[Path]:
    csv, parquet = folder / f"{name}.csv", folder / f"{name}.parquet"
    write_csv(csv, table)
    table.to_parquet(parquet, index=False)
    return [csv, parquet]


def _design(study: Study, folder: Path) -> Path:
    file = folder / "study.json"
    file.write_text(json.dumps(study.info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def _dictionary(study: Study, folder: Path, tables: dict[str, dict[str, str]]) -> Path:
    about = f"Design digest: `{study.digest}`. `study.json` holds the frozen design and analysis plan."
    lines = [f"# Data dictionary of the study {study.name}", "", about, ""]
    if not study.imported and study.design.texts:
        lines += ["What raters read is in `study.json` under `texts`; sha256 by language:", ""]
        lines += [f"- {language}: `{words_digest(words)}`" for language, words in study.design.texts.items()] + [""]
    for name, columns in tables.items():
        lines += [f"## {name}.csv, {name}.parquet", "", "| column | meaning |", "|---|---|"]
        lines += [f"| {column} | {meaning.replace('|', '/')} |" for column, meaning in columns.items()]
        if name == "given":
            lines += [f"| screen: {value} | {about} |" for value, (_, _, _, about) in SCREEN.items()]
            lines += [f"| practice: {value} | {about} |" for value, about in PRACTICE.items()]
        lines.append("")
    file = folder / "dictionary.md"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def _manifest(study: Study, folder: Path, files: list[Path], rows: dict[str, int], simulated: bool) -> Path:
    content: dict[str, Any] = {
        "study": study.name,
        "digest": study.digest,
        "exported": now(),
        "facesr": __version__,
        "simulated": simulated,
        "closed": None if study.imported or (sealed := seal_of(study)) is None else sealed._asdict(),
        "stopping_rule_met": study.may_show_means(),
        "peeks": list(study.peeks()),
        "rows": rows,
        "sha256": {f.name: file_sha256(f) for f in files},
    }
    file = folder / "manifest.json"
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def verify_export(folder: Path) -> list[str]:
    """Problems of an export: files that are missing or no longer have the manifest's sha256."""
    try:
        hashes = dict(read_json(folder / "manifest.json")["sha256"])
    except (FaceSRError, ValueError, KeyError, TypeError):
        return [f"{folder / 'manifest.json'} is missing or cannot be read"]
    problems = []
    for name, wanted in hashes.items():
        file = folder / Path(name).name
        if not file.is_file():
            problems.append(f"{name} is missing")
        elif file_sha256(file) != wanted:
            problems.append(f"{name} was changed after the export")
    return problems
