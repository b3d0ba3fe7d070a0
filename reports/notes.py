"""Captions and footnotes: what was measured, on which faces, with which weights, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench.diagnosis import counted
from facesr.bench.results import Run
from facesr.reports.build import kept_means
from facesr.reports.cells import Cell, number
from facesr.reports.references import printed, printed_condition
from facesr.reports.scores import Scores

if TYPE_CHECKING:
    from facesr.bench.study import Study

FULL_SIZE = {("celeba-hq", "train"): 24_183, ("celeba-hq", "val"): 2_993, ("celeba-hq", "test"): 2_824}
"""Faces of CelebA-HQ's parts by CelebA's official partition, to say 'n of 2,824' of an incomplete copy."""


SPREAD = "over faces; t, wider for few faces and on the side of the longer tail; shares: Wilson; its ends in brackets where it is lopsided"
"""How the intervals of a table of scores are made."""


def title(run: Run) -> str:
    """The protocol's name and version."""
    protocol = run.protocol
    return f"{protocol.get('name', run.path.name)} (version {protocol.get('version', '?')})"


def whose_faces(scores: Scores) -> str:
    """'244 faces of london', '120 of 2,824 faces of celeba-hq (test)', or the user's own folder, named."""
    run = scores.runs[0]
    asked, found = run.protocol.get("data", {}), run.info.data
    dataset, split = str(asked.get("dataset", "?")), str(asked.get("split", ""))
    full = max(len(scores.all_faces), found.total, FULL_SIZE.get((dataset, split), 0))
    count = f"{len(scores.faces):,} faces" if len(scores.faces) == full else f"{len(scores.faces):,} of {full:,} faces"
    if dataset.startswith("folder:"):
        return f"{count} of the user's own folder {dataset.removeprefix('folder:')} (--data), not the protocol's data set"
    return f"{count} of {dataset}" + (f" ({split})" if split and split != "all" else "")


def caption(scores: Scores) -> str:
    """One line above a table: protocol, factor, faces."""
    factor = ", ".join(f"×{s}" for s in scores.scales)
    size = scores.runs[0].protocol.get("data", {}).get("size")
    target = f" to {size}²" if size else ""
    return f"{title(scores.runs[0])}: {factor}{target}, {whose_faces(scores)}"


def lr_words(protocol: Mapping[str, Any]) -> str:
    """Where LR comes from: 'LR = bicubic-matlab of HR, 8-bit LR', unrounded, or the user's own files."""
    degradation = dict(protocol.get("degradation") or {})
    kernel = degradation.get("kernel", "?")
    if own := dict(protocol.get("lr") or {}):
        return f"LR: the files of the folder {Path(str(own.get('folder', ''))).name}, not made from HR (ε takes D = {kernel})"
    return f"LR = {kernel} of HR, {'8-bit LR' if degradation.get('quantize', True) else 'unrounded LR (float32)'}"


def weights_line(facts: Mapping[str, Mapping[str, str]], what: str) -> str:
    """'Weights: pulse g.safetensors 1a2b3c4d; …', the first eight hex digits of each sha256; '' where there are none."""
    named = [
        f"{owner}: {', '.join(f'{Path(f).name} {sha[:8]}' for f, sha in files.items())}" for owner, files in facts.items() if files
    ]
    return f"{what} (sha256): {'; '.join(named)}." if named else ""


def method_weights(scores: Scores) -> dict[str, dict[str, str]]:
    """For each method in view: its weight files and their sha256."""
    found = {}
    for name in scores.methods:
        found[name] = dict(scores.entry(name).weights)
    return found


def failures_line(cells: Iterable[Cell]) -> str:
    """'† Left out of means: 12 not_converged (psnr, ssim) of pulse; …', or that nothing failed. Methods that failed alike are named together."""
    listed = list(cells)
    several = len({c.scale for c in listed}) > 1
    metrics: dict[tuple[str, str, int], list[str]] = {}
    for cell in listed:
        for status, n in Counter(f.status for f in cell.failures).items():
            metrics.setdefault((f"{cell.method} ×{cell.scale}" if several else cell.method, status, n), []).append(cell.metric)
    alike: dict[tuple[str, float, tuple[str, ...]], list[str]] = {}
    for (method, status, n), names in metrics.items():
        alike.setdefault((status, n, tuple(names)), []).append(method)
    if not alike:
        return "Every image has a value in every column shown."
    every = len({(c.method, c.scale) for c in listed})
    parts = [
        f"{n:,} {status} ({', '.join(names)}) of {'every method' if 1 < len(methods) == every else ', '.join(methods)}"
        for (status, n, names), methods in alike.items()
    ]
    return f"† Left out of means: {'; '.join(parts)}."


def kept_line(scores: Scores) -> str:
    """Means with the images of unconverged searches counted in, so that no method is judged on its easy faces alone."""
    cells = kept_means(scores)
    if not cells:
        return ""
    parts = [f"{c.method} {scores.column(c.metric).label} {number(c)} (n = {c.n:,})" for c in cells]
    return f"With the images kept of searches that did not converge: {', '.join(parts)}."


def declared(scores: Scores) -> list[str]:
    """What the methods in view declare of themselves (``Method.notes``), and which metrics in view their weights were trained on."""
    losses: dict[str, list[str]] = {}
    said = {printed(name, scores.cite(name)): scores.entry(name).notes for name in scores.methods}
    for name in scores.methods:
        entry = scores.entry(name)
        who = printed(name, scores.cite(name))
        for metric in scores.metrics:
            if any(_is_loss(loss, metric, scores.metrics[metric].weights) for loss in entry.training_losses):
                losses.setdefault(scores.column(metric).label, []).append(who)
    return declared_by(said) + [f"{label} was a training loss of {', '.join(who)}." for label, who in losses.items()]


def _is_loss(loss: str, metric: str, weights: Iterable[str]) -> bool:
    """Whether ``loss`` (see ``Method.training_losses``) is this metric."""
    name, _, network = loss.partition(":")
    return metric.partition("?")[0] == name and (not network or any(network in Path(file).name.lower() for file in weights))


def declared_by(said: Mapping[str, Sequence[str]]) -> list[str]:
    """What methods (as printed) declare of themselves, a sentence for each remark: those that declare the same are named together."""
    who: dict[str, list[str]] = {}
    for name, notes in said.items():
        for note in notes:
            who.setdefault(note.rstrip("."), []).append(name)
    return [f"{', '.join(names)}: {note}." for note, names in who.items()]


def declared_in(study: Study) -> list[str]:
    """What the methods of a study declared when it was made from their run; studies made before that was kept have none."""
    run = study.info.get("run")
    said = run.get("notes") if isinstance(run, dict) else None
    if not isinstance(said, dict):
        return []
    return declared_by(
        {printed_condition(str(name)): [str(note) for note in notes] for name, notes in said.items() if isinstance(notes, list)}
    )


def suspected(scores: Scores) -> list[str]:
    """What the images of methods far below bicubic look like, as measured by the run: a mistake in their files, most likely."""
    return [f"{printed(name, scores.cite(name))}: {line}." for name in scores.methods for line in scores.entry(name).diagnosis]


LETTERS = "Methods that share a letter are not distinguishable (paired Wilcoxon over faces, Holm, .05)."


def brief(scores: Scores, cells: Iterable[Cell], *, letters: bool) -> list[str]:
    """The footnotes that a paper's table needs: letters, and which images are left out for want of a value."""
    lost: dict[tuple[str, float], list[str]] = {}
    for cell in cells:
        if cell.failed:
            lost.setdefault((printed(cell.method, scores.cite(cell.method)), cell.failed), []).append(
                scores.column(cell.metric).label
            )
    parts = [f"{who} {n:,} ({', '.join(dict.fromkeys(labels))})" for (who, n), labels in lost.items()]
    out = f"† Images without a value, left out of the mean: {'; '.join(parts)}." if parts else ""
    return [line for line in (LETTERS if letters else "", out, *declared(scores), *suspected(scores), unfinished(scores)) if line]


def unfinished(scores: Scores) -> str:
    """Which runs are still going, and what that means for the table."""
    names = [r.path.name for r in scores.runs if r.running]
    return f"{', '.join(names)} is not finished: cells without a row yet count as missing." if names else ""


def notes(scores: Scores, cells: Sequence[Cell], *, letters: bool) -> list[str]:
    """The footnotes of a table of scores, in order."""
    run = scores.runs[0]
    shown = {cell.metric for cell in cells}
    conventions = [f"{scores.column(m).label}: {c}" for m in scores.metrics if m in shown and (c := scores.column(m).conventions)]
    metric_weights = {scores.column(m).label: dict(scores.metrics[m].weights) for m in scores.metrics}
    every = [
        LETTERS if letters else "",
        *declared(scores),
        *suspected(scores),
        *(f"HR: {line}." for line in counted(f.note for f in run.faces)),
        f"{lr_words(run.protocol)}; scores read the saved 8-bit images.",
        *(f"{line}." for line in conventions),
        weights_line(method_weights(scores), "Weights of methods"),
        weights_line(metric_weights, "Weights of metrics"),
        failures_line(cells),
        kept_line(scores),
        f"Note on the data: {note}." if (note := run.info.data.note.rstrip(".")) else "",
        unfinished(scores),
        f"Digest of protocol and data {scores.digest[:12]}.",
    ]
    return [line for line in every if line]


def flat_entries(info: Mapping[str, Any], leave_out: Iterable[str] = ()) -> list[tuple[str, str]]:
    """A nested mapping as flat lines (``data.size``, ``128``), for the end of a report."""
    lines: list[tuple[str, str]] = []
    for key, value in info.items():
        if key in set(leave_out):
            continue
        if isinstance(value, Mapping):
            lines += [(f"{key}.{k}", v) for k, v in flat_entries(value)]
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            for i, item in enumerate(value, start=1):
                lines += [
                    (f"{key} {item.get('name', item.get('label', i))}.{k}", v) for k, v in flat_entries(item, ("name", "label"))
                ]
        else:
            lines.append((key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return lines
