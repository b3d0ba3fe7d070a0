"""``facesr export``: a finished run as a folder or archive to publish.

A bundle is a run folder: every command that reads a run reads it. Besides it has its scores as CSV, a page in Markdown, and ``SHA256SUMS`` over
all of it, which ``sha256sum -c`` checks on any machine. Folders of the machine it was made on are left out of every text.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError, some
from facesr.bench.imaging.files import write_whole
from facesr.bench.reading import read_bytes
from facesr.bench.results import Run, RunInfo, load_run
from facesr.bench.results.again import command
from facesr.bench.results.cells import Cells, LrCell, ScoreCell, SrCell
from facesr.bench.results.run import known_cells, score_rows
from facesr.bench.results.sums import SUMS, sums_of
from facesr.bench.results.table import write_scores
from facesr.bench.tables import write_csv
from facesr.reports.export.crate import CRATE, crate_json
from facesr.reports.export.shared import shared_results
from facesr.reports.facts import nameless
from facesr.reports.scores import from_runs
from facesr.reports.tables import score_table

README = "README.md"
TABLE = "scores.csv"


@dataclass(frozen=True)
class Exported:
    """``path``: the bundle; ``files`` in it; ``remarks``: what it does not hold, and why."""

    path: Path
    files: int
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Publication:
    """What goes along. ``hr``: the HR images (only where their licence lets you pass them on). ``rocrate``: ``ro-crate-metadata.json``
    (RO-Crate 1.1, Process Run Crate 0.5). ``every_eval_ever``: the means in that project's schema of evaluation results. ``licence``: of the
    bundle, an SPDX name such as CC-BY-4.0, or an address. ``authors``, ``organization``: who publishes it."""

    hr: bool = False
    rocrate: bool = False
    every_eval_ever: bool = False
    licence: str = ""
    authors: Sequence[str] = ()
    organization: str = ""


def export_run(run: Run, out: Path, wanted: Publication = Publication()) -> Exported:
    """Write the bundle of a finished run to ``out``: a folder that is not there yet, or a file ``….zip``.

    Raises ``FaceSRError`` for a run that is not finished, or whose images are not those that were measured.
    """
    if run.running:
        raise FaceSRError(f"{run.path} is not finished: call 'facesr run' again, then export it")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FaceSRError(f"{out} is there already: name a bundle that is not, so that nothing is overwritten")
    if out.suffix != ".zip":
        return _folder(run, out, wanted)
    with tempfile.TemporaryDirectory(prefix="facesr-export-") as place:
        made = _folder(run, Path(place) / out.stem, wanted)
        out.parent.mkdir(parents=True, exist_ok=True)
        _zip(made.path, out)
    return replace(made, path=out)


def _folder(run: Run, out: Path, wanted: Publication) -> Exported:
    remarks: list[str] = []
    images = dict(_images(run))
    out.mkdir(parents=True, exist_ok=True)
    try:
        for name, data in _contents(run, images):
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(out / name, data, sync=False)
        info = _published(run.info)
        if wanted.hr:
            info = _with_hr(run, info, out, remarks)
        elif run.has_hr:
            remarks.append("the HR images are not in it: who checks it needs them (their sha256 are in run.json)")
        write_whole(out / "run.json", info.as_json())
        _cells(run, info, out)
        made = load_run(out)
        write_csv(out / TABLE, made.scores())
        write_whole(out / README, _readme(made, wanted.licence))
        if wanted.every_eval_ever:
            for name, text in shared_results(made, wanted.organization).items():
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                write_whole(out / name, text)
        if wanted.rocrate:
            write_whole(
                out / CRATE, crate_json(made, licence=wanted.licence, authors=wanted.authors, organization=wanted.organization)
            )
            remarks += [] if wanted.licence else ["the crate says that no licence is stated: give one with --license"]
        write_whole(out / SUMS, sums_of(out))
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # it was not there, or empty
        raise
    return Exported(out, sum(p.is_file() for p in out.rglob("*")), tuple(remarks))


def _images(run: Run) -> Iterator[tuple[str, str]]:
    """LR and SR files by their place in the run folder, with the sha256 they had when they were measured."""
    for _, path, known in run.hashes():
        yield path.relative_to(run.path).as_posix(), known


def _contents(run: Run, images: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """The images' bytes; any that is not what was measured refuses the export."""
    wrong = []
    for name, known in images.items():
        try:
            data = read_bytes(run.as_measured(run.path / name))
        except FaceSRError:
            wrong.append(name)
            continue
        if hashlib.sha256(data).hexdigest() == known:
            yield name, data
        else:
            wrong.append(name)
    if wrong:
        raise FaceSRError(
            f"{run.path}: {len(wrong)} images are missing or not those that were measured ({some(wrong, 3)}): run it again"
        )


def _published(info: RunInfo) -> RunInfo:
    """``run.json`` without folders of this machine; an HR file is named by its name."""
    methods = tuple(
        replace(m, target=nameless(m.target), params=_plain(m.params), weights=_files(m.weights), terms=nameless(m.terms),
                notes=tuple(map(nameless, m.notes)), remarks=tuple(map(nameless, m.remarks)))
        for m in info.methods
    )  # fmt: skip
    metrics = {
        name: replace(fact, conventions=nameless(fact.conventions), weights=_files(fact.weights))
        for name, fact in info.metrics.items()
    }
    faces = tuple(replace(f, path=Path(f.path).name if f.path else "", note=nameless(f.note)) for f in info.faces)
    published = replace(
        info,
        methods=methods,
        metrics=metrics,
        faces=faces,
        protocol=_plain(info.protocol),
        data=replace(info.data, note=nameless(info.data.note)),
    )
    return replace(published, command=command(published))


def _files(weights: Mapping[str, str]) -> dict[str, str]:
    return {nameless(name): known for name, known in weights.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return nameless(value) if isinstance(value, str) else value


def _with_hr(run: Run, info: RunInfo, out: Path, remarks: list[str]) -> RunInfo:
    """HR images (without HR: photos) that are what was measured, in ``hr/``."""
    faces = []
    (out / "hr").mkdir(exist_ok=True)
    for face in info.faces:
        try:
            path = run.hr_path(face.name)
            data = read_bytes(path) if face.sha256 else b""
        except FaceSRError:
            data = b""
        if data and hashlib.sha256(data).hexdigest() == face.sha256:
            name = f"hr/{face.name}{path.suffix.lower()}"
            write_whole(out / name, data, sync=False)
            face = replace(face, path=name)
        elif face.sha256:
            remarks.append(f"HR of {face.name} is not at hand as it was measured, and not in the bundle")
        faces.append(face)
    return replace(info, faces=tuple(faces))


def _cells(run: Run, info: RunInfo, out: Path) -> None:
    """The cells of this run alone (its store keeps those of earlier requests too), as one plain file, and the table that follows."""
    with Cells(run.path) as held, Cells(out, write=True) as cells:
        faces = {f.name for f in info.faces}
        cells.put([c for c in held.rows(LrCell) if c.image in faces and c.scale in info.scales])
        for kind in (SrCell, ScoreCell):
            cells.put([c._replace(reason=nameless(c.reason)) for c in known_cells(info, held, kind)])
        write_scores(out, score_rows(info, cells))
        cells.settle()


def _readme(run: Run, licence: str) -> str:
    """What it is, the table, and how it is checked."""
    table = score_table(from_runs([run]), full=False)
    methods = [
        f"- **{m.label}**: {nameless(m.target)}; weights: {', '.join(f'{n} (sha256 {s})' for n, s in m.weights.items()) or 'none'}; "
        f"terms: {m.terms or 'not stated'}"
        for m in run.info.methods
    ]
    return "\n".join(
        [
            f"# {run.info.title}\n",
            f"{len(run.faces):,} faces, digest `{run.digest}`. Licence of this bundle: {licence or 'not stated'}.\n",
            table.markdown(),
            "\n## Methods\n",
            *methods,
            "\n## Check it\n",
            "```\nsha256sum -c SHA256SUMS                 # the files are those that were published",
            "facesr verify BUNDLE --sample 1%        # cells drawn at random, computed again",
            "facesr reproduce BUNDLE                 # everything, computed again and compared\n```\n",
            f"Made by: `{run.info.command}`",
            f"Exported {datetime.now(UTC).date().isoformat()}.\n",
        ]
    )


def _zip(folder: Path, out: Path) -> None:
    """The folder as an archive; entries in order of name, without times, so that the same files give the same archive."""
    beside = out.with_name(f".{out.name}.part")
    with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            entry.compress_type = zipfile.ZIP_STORED if path.suffix == ".png" else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    beside.replace(out)
