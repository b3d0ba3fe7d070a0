"""What a run notes of itself, in plain words and without the folders of the machine it was made on: for the report and Provenance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from facesr.bench.results import MethodInfo, MetricInfo, RunInfo
from facesr.reports.notes import flat_entries

Facts = list[tuple[str, str]]
WORDS = {
    "name": "Protocol", "version": "Version", "description": "Description", "data.dataset": "Data set", "data.split": "Split",
    "data.size": "HR size (pixels)", "data.reduce": "Photographs reduced by", "degradation.kernel": "LR made by",
    "degradation.scale": "Downscaling factor", "degradation.quantize": "LR rounded to 8 bits", "consistency.epsilon": "Limit of ε",
    "consistency.study": "Faces beyond ε in a study",
}  # fmt: skip
"""Entries of a protocol, as people read them."""
FOLDERS = re.compile(r"(?<![\w./~])~?/(?:[^/\s,;:'\"]+/)+(?=[^/\s])|(?<!\w)[A-Za-z]:\\(?:[^\\\s,;:'\"]+\\)+")
"""The folders before a file's name, on this kind of system or another."""


def without_folders(text: str) -> str:
    """A text in which ``/home/me/nets/mine.py`` is ``…/mine.py``: where it lay is nobody's business, and says nothing elsewhere."""
    return FOLDERS.sub("…/", text)


def nameless(text: str) -> str:
    """A text in which ``/home/me/nets/mine.py`` is ``mine.py``: for what is published and may be read by programs."""
    return FOLDERS.sub("", text)


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return without_folders(", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))


def protocol_facts(info: RunInfo) -> Facts:
    """What was asked for."""
    lines = [
        (
            WORDS.get(key, key.replace(".", ", ").replace("_", " ")),
            {"True": "yes", "False": "no"}.get(value, without_folders(value)),
        )
        for key, value in flat_entries(info.protocol, ("study", "metrics"))
    ]
    return [*lines, ("Digest of protocol and data", info.digest)]


def run_facts(info: RunInfo) -> Facts:
    """What came of it, and when."""
    data = info.data
    counted = f"{data.faces:,} of {data.total:,}" if data.total > data.faces else f"{data.faces:,}"
    lines = [("State", info.state), ("Seed", str(info.seed)), ("Faces", f"{counted} of {data.name}")]
    lines += [("Of the data", without_folders(data.note))] if data.note else []
    lines += [("Part of the faces", info.shard)] if info.shard else []
    calls = list(enumerate(info.calls, start=1))
    return lines + [(f"Call {i}" if len(calls) > 1 else "Started and finished", _span(c.started, c.finished)) for i, c in calls]


def _span(started: str, finished: str | None) -> str:
    def short(moment: str) -> str:
        return f"{moment[:10]} {moment[11:19]}"

    return f"{short(started)} to {short(finished)} UTC" if finished else f"{short(started)} UTC, not finished"


def _weights(weights: Mapping[str, str]) -> str:
    return ", ".join(f"{without_folders(name)} (sha256 {sha})" for name, sha in weights.items())


def _joined(parts: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {text}" for name, text in parts.items() if text)


def method_facts(entry: MethodInfo) -> str:
    """Settings, weights, terms, paper and code of a method in one line."""
    return _joined(
        {
            "settings": ", ".join(f"{key} = {_said(value)}" for key, value in entry.params.items()),
            "weights": _weights(entry.weights),
            "terms": without_folders(entry.terms),
            "notes": " / ".join(map(without_folders, entry.notes)),
            "trained on the losses": ", ".join(entry.training_losses),
            "paper": entry.cite,
            "class": without_folders(entry.target),
            "code": entry.code,
        }
    )


def metric_facts(fact: MetricInfo) -> str:
    """Conventions, source and weights of a metric in one line."""
    better = "higher is better" if fact.higher_is_better else "lower is better"
    of = "of the whole set" if fact.of_set else "share of faces" if fact.share else ""
    plain = [f"{fact.label}{f' in {fact.unit}' if fact.unit else ''}, {better}", of, without_folders(fact.conventions)]
    named = _joined({"source": fact.source, "weights": _weights(fact.weights)})
    return "; ".join(part for part in (*plain, named) if part)


def machine_facts(info: RunInfo) -> Facts:
    """The machine and its packages."""
    return [(key, without_folders(value)) for key, value in flat_entries(info.environment)]
