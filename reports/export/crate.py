"""``ro-crate-metadata.json``: the bundle described for archives and search engines (RO-Crate 1.1, Process Run Crate 0.5).

https://www.researchobject.org/ro-crate/specification/1.1/ and https://www.researchobject.org/workflow-run-crate/profiles/0.5/process_run_crate/.
Plain JSON-LD written here: the ``rocrate`` package would be a dependency, with a web client, for one dictionary. Checked by ``roc-validator``.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from facesr.bench.results import MethodInfo, Run
from facesr.reports.notes import title, whose_faces
from facesr.reports.scores import from_runs

CRATE = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
SPEC = "https://w3id.org/ro/crate/1.1"
HOME = "https://www.researchobject.org/ro-crate/"
SPDX = re.compile(r"[A-Za-z0-9.+-]+")
KINDS = {
    ".parquet": "application/vnd.apache.parquet",
    ".sqlite": "application/vnd.sqlite3",
    ".md": "text/markdown",
    ".npy": "application/x-npy",
}
WHAT = {
    "run.json": "protocol, methods, metrics, faces and machine of the run",
    "scores.parquet": "one row per cell: face, method, metric, value, status",
    "scores.csv": "the same rows as text",
    "cells.sqlite": "every cell with the sha256 of the image behind it",
    "README.md": "the table of the run, and how to check it",
}

Entity = dict[str, Any]


def crate_json(run: Run, *, licence: str = "", authors: Sequence[str] = (), organization: str = "") -> str:
    """The metadata of the bundle in ``run.path``; what is not known (a licence, authors) is said to be unknown or left out."""
    files = _files(run)
    parts = [*files, *_folders(run)]
    tools = [_method(m) for m in run.info.methods]
    people: list[Entity] = [{"@id": f"#author-{i}", "@type": "Person", "name": name} for i, name in enumerate(authors, 1)]
    about = f"Face super-resolution methods compared under the protocol {title(run)} on {whose_faces(from_runs([run]))}."
    terms = _licence(licence)
    root: Entity = {
        "@id": "./", "@type": "Dataset", "name": f"{run.info.title}: {', '.join(run.methods)}",
        "description": f"{about} Every score can be computed again from the images in it.",
        "datePublished": datetime.now(UTC).date().isoformat(), "license": _of(terms), "identifier": f"sha256:{run.digest}",
        "conformsTo": {"@id": PROFILE}, "hasPart": [_of(p) for p in parts], "mentions": [{"@id": "#run"}, *map(_of, tools)],
    }  # fmt: skip
    publisher = [{"@id": "#organization", "@type": "Organization", "name": organization}] if organization else []
    people = [{**p, "affiliation": _of(publisher[0])} for p in people] if publisher else people
    root |= {"author": _one([_of(p) for p in people])} if people else {}
    root |= {"publisher": _of(publisher[0])} if publisher else {}
    graph: list[Entity] = [
        {"@id": CRATE, "@type": "CreativeWork", "conformsTo": {"@id": SPEC}, "about": {"@id": "./"}},
        root, terms, {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        *parts, *people, *publisher, _software(run), _action(run, people, publisher), *tools,
    ]  # fmt: skip
    return json.dumps({"@context": f"{SPEC}/context", "@graph": graph}, indent=1, ensure_ascii=False) + "\n"


def _one(found: list[Entity]) -> Entity | list[Entity]:
    return found[0] if len(found) == 1 else found


def _of(entity: Entity) -> Entity:
    return {"@id": entity["@id"]}


def _licence(licence: str) -> Entity:
    """An SPDX name as its address; an address as it is; any other words, or that nothing is stated."""
    if licence.startswith(("https://", "http://")):
        return {"@id": licence, "@type": "CreativeWork", "name": licence, "description": "the licence of this bundle"}
    if SPDX.fullmatch(licence):
        return {
            "@id": f"https://spdx.org/licenses/{licence}",
            "@type": "CreativeWork",
            "name": licence,
            "description": "the licence of this bundle",
        }
    words = licence or "no licence is stated: ask who published this before passing it on"
    return {"@id": "#licence", "@type": "CreativeWork", "name": licence or "not stated", "description": words}


def _files(run: Run) -> list[Entity]:
    found = []
    for path in sorted(p for p in run.path.rglob("*") if p.is_file()):
        name = path.relative_to(run.path).as_posix()
        if name.split("/")[0] in ("lr", "sr", "hr") or name in (CRATE, "SHA256SUMS"):
            continue
        kind = KINDS.get(path.suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        data = path.read_bytes()
        found.append(
            {"@id": _address(name), "@type": "File", "name": name, "encodingFormat": kind, "contentSize": str(len(data)),
             "sha256": hashlib.sha256(data).hexdigest(), "description": WHAT.get(name, "means in the schema of every_eval_ever")}
        )  # fmt: skip
    return found


def _address(name: str) -> str:
    from urllib.parse import quote

    return quote(name)


def _folders(run: Run) -> list[Entity]:
    """The folders of images; each image's sha256 is in SHA256SUMS."""
    words = {"lr": "low-resolution images that the methods were given", "hr": "high-resolution images"}
    places = [name for name in words if (run.path / name).is_dir()]
    places += [f"sr/{label}" for label in run.methods if (run.path / "sr" / label).is_dir()]
    return [
        {
            "@id": f"{_address(place)}/",
            "@type": "Dataset",
            "name": place,
            "description": words.get(place, f"images by {place[3:]}, as scored"),
        }
        for place in places
    ]


def _method(method: MethodInfo) -> Entity:
    """A method as software: what it is, where its weights' bytes can be recognised."""
    weights = ", ".join(f"{name} (sha256 {known})" for name, known in method.weights.items()) or "none"
    return {
        "@id": f"#method-{_address(method.label)}", "@type": "SoftwareApplication", "name": method.label,
        "description": f"{method.target}, code {method.code or 'unknown'}; weights: {weights}; terms: {method.terms or 'not stated'}",
        "softwareVersion": method.code or "unknown",
    }  # fmt: skip


def _software(run: Run) -> Entity:
    version = run.info.environment.get("facesr-bench", "unknown")
    return {"@id": "#facesr-bench", "@type": "SoftwareApplication", "name": "FaceSR-Bench", "softwareVersion": version}


def _action(run: Run, people: Sequence[Entity], publisher: Sequence[Entity]) -> Entity:
    """The run itself: from LR and HR to scores."""
    calls = run.info.calls
    machine = ", ".join(f"{key} {value}" for key, value in run.info.environment.items())
    lr = {"@id": "lr/"} if (run.path / "lr").is_dir() else None
    images = [{"@id": f"sr/{_address(m)}/"} for m in run.methods if (run.path / "sr" / m).is_dir()]
    made: Entity = {
        "@id": "#run", "@type": "CreateAction", "name": f"facesr run {run.info.title}", "instrument": {"@id": "#facesr-bench"},
        "description": f"{run.info.command} (seed {run.info.seed}; {machine})", **({"object": lr} if lr else {}),
        "result": [{"@id": "scores.parquet"}, {"@id": "scores.csv"}, *images],
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }  # fmt: skip
    made |= {"startTime": calls[0].started} if calls and calls[0].started else {}
    made |= {"endTime": calls[-1].finished} if calls and calls[-1].finished else {}
    agents = [*people, *publisher]
    return made | ({"agent": _one([_of(a) for a in agents])} if agents else {})
