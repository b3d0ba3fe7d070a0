"""The HTML report: one file that needs nothing else, shows every image byte for byte, prints well, and is light or dark as the reader's."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import numpy as np

from facesr import __version__
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import encode_png, read_lr, rounded
from facesr.bench.imaging.lowres import NPY
from facesr.bench.numbers import fixed
from facesr.bench.results import Run
from facesr.bench.results.again import command
from facesr.bench.results.status import Status
from facesr.reports import facts, notes
from facesr.reports.figures import Drawing
from facesr.reports.gather import Gallery, Report, Section
from facesr.reports.html import failures_html
from facesr.reports.scores import Scores
from facesr.reports.table import Table

KINDS = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"BM": "image/bmp"}
IN_SIGHT = 5
"""Warnings that are shown at once."""
CSP = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""The page itself forbids to load anything from anywhere."""


def html_page(report: Report) -> str:
    """The whole page."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    sections = [_section(report, s) for s in report.sections]
    links = [(s.key, s.title) for s in report.sections]
    ends = _ends(report)
    links += [(key, title) for key, title, _ in ends]
    menu = " ".join(f'<a href="#{key}">{escape(title)}</a>' for key, title in links)
    tail = [f'<section id="{key}"><h2>{escape(title)}</h2>\n{body}</section>' for key, title, body in ends]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{CSP}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(report.title)} – face super-resolution report</title>\n<style>\n{style}</style>\n</head>\n<body>",
            f'<header><h1>{escape(report.title)}</h1>\n<p class="subtitle">{escape(report.subtitle)}</p></header>',
            f'<nav aria-label="Sections">{menu}</nav>\n<main>',
            _warnings(report.warnings),
            *sections,
            *tail,
            f"</main>\n<footer>Made by facesr-bench {__version__} from {_origins(report)}.</footer>\n</body>\n</html>\n",
        ]
    )


def _origins(report: Report) -> str:
    names = [f"run {r.path.name} ({r.digest[:12]})" for r in report.scores.runs]
    names += [f"study {report.mos.name} ({report.mos.study.digest[:12]})"] if report.mos else []
    return escape(", ".join(names))


def _warnings(sentences: Sequence[str]) -> str:
    """The warnings, the first few in sight and the rest one click away."""
    items = [f"<li>{escape(sentence)}</li>" for sentence in sentences]
    if not items:
        return ""
    first, rest = (items, []) if len(items) <= IN_SIGHT + 1 else (items[:IN_SIGHT], items[IN_SIGHT:])
    more = f"<details><summary>{len(rest)} more</summary><ul>{''.join(rest)}</ul></details>" if rest else ""
    return f'<section class="warnings" role="note"><h2>Before you quote a number</h2><ul>{"".join(first)}</ul>{more}</section>'


def _section(report: Report, section: Section) -> str:
    seen: dict[tuple[str, float], str] = {}
    parts = [f'<section id="{section.key}"><h2>{escape(section.title)}</h2>']
    parts += [f"<p>{escape(words)}</p>" for words in section.words]
    for table in section.tables:
        parts.append(_table(table))
    parts += [_figure(drawing, notes.declared(report.scores)) for drawing in section.drawings]
    parts += [_gallery(report, gallery, seen) for gallery in section.galleries]
    return "\n".join([*parts, "</section>"])


def _table(table: Table) -> str:
    sources = [("LaTeX", table.latex())] + ([("CSV", table.csv())] if table.cells else [])
    folds = "".join(
        f'<details class="source"><summary>{escape(name)}</summary><pre>{escape(text)}</pre></details>' for name, text in sources
    )
    return f'<div class="scroll" tabindex="0">{table.html()}</div>{folds}'


def _figure(drawing: Drawing, declared: Sequence[str]) -> str:
    words = " ".join([f"{drawing.title}. {drawing.alt}.", *declared])
    return f'<figure id="figure-{drawing.name}">{drawing.inline_svg()}<figcaption>{escape(words)}</figcaption></figure>'


def data_url(file: Path) -> str:
    """A file as it is on disk, to the byte, inside an attribute (an unrounded LR image: its pixels at 8 bits); '' where there is none or it
    is no image a browser shows."""
    try:
        content = encode_png(rounded(read_lr(file))) if file.suffix == NPY else file.read_bytes()
    except (OSError, FaceSRError):
        return ""
    kind = next((kind for head, kind in KINDS.items() if content.startswith(head)), None)
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}" if kind else ""


def _gallery(report: Report, gallery: Gallery, seen: dict[tuple[str, float], str]) -> str:
    """Faces in rows; one that an earlier gallery showed is linked to, not embedded again."""
    scores = report.scores
    has_hr = scores.runs[0].has_hr
    heads = [f"LR ×{gallery.scale}", *scores.methods, *(["HR"] if has_hr else [])]
    lines = [f"<h3>{escape(gallery.title)}</h3>", '<div class="scroll" tabindex="0"><table class="faces"><thead><tr><td></td>']
    lines += [f'<th scope="col">{escape(h)}</th>' for h in heads]
    lines.append("</tr></thead><tbody>")
    values = scores.values(report.metric, gallery.scale, kept=True).to_dict("index")
    statuses = scores.statuses(report.metric, gallery.scale)
    new = [face for face in gallery.faces if (face, gallery.scale) not in seen]
    again = [face for face in gallery.faces if face not in new]
    if not new:
        lines = lines[:1]
    for face in new:
        seen[face, gallery.scale] = f"face-{len(seen) + 1}"
        cells = [_image(scores.runs[0], scores.runs[0].lr_path(face, gallery.scale), f"{face}, LR", "")]
        for method in scores.methods:
            run, label = scores.owner[method]
            number, status = float(values[face][method]), str(statuses.at[face, method])
            shown = fixed(number, scores.digits(report.metric)) if np.isfinite(number) else ""
            words = shown if status == Status.OK else f"{shown} {status.replace('_', ' ')}".strip()
            cells.append(_image(run, run.sr_path(label, face, gallery.scale), f"{face}, {method}", words, status != Status.OK))
        if has_hr:
            owner = next(r for r in scores.runs if any(f.name == face for f in r.faces))
            cells.append(_image(owner, None, f"{face}, HR", "", face=face))
        lines.append(f'<tr id="{seen[face, gallery.scale]}"><th scope="row">{escape(face)}</th>{"".join(cells)}</tr>')
    column = scores.column(report.metric)
    under = notes.declared(scores.only(metrics=[report.metric]))
    note = " ".join([f"Under each image: {column.label} {column.arrow}.", *under])
    table = "".join(lines) + (f"</tbody></table></div><p class='under'>{escape(note)}</p>" if new else "")
    links = ", ".join(f'<a href="#{seen[face, gallery.scale]}">{escape(face)}</a>' for face in again)
    return table + (f"<p>{'Also' if new else 'Shown'} above: {links}.</p>" if again else "")


def _image(run: Run, file: Path | None, alt: str, words: str, bad: bool = False, face: str = "") -> str:
    """A cell with the LR or SR image in ``file``, or else with HR of ``face``; one that is not as measured is not shown, with the reason."""
    try:
        file = run.hr_path(face) if file is None else run.as_measured(file)
    except FaceSRError as error:
        return f'<td><div class="none">{escape(str(error))}</div></td>'
    value = f'<span class="value{" bad" if bad else ""}">{escape(words)}</span>' if words else ""
    if url := data_url(file):
        return f'<td><img src="{url}" alt="{escape(alt, quote=True)}">{value}</td>'
    return f'<td><div class="none">{escape(words or "no image")}</div></td>'


def _facts(lines: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>' for key, value in lines)
    return f'<div class="scroll" tabindex="0"><table class="facts"><tbody>{rows}</tbody></table></div>'


def _ends(report: Report) -> list[tuple[str, str, str]]:
    """Failures, protocol, environment, weights and hashes."""
    scores, run = report.scores, report.scores.runs[0]
    ends = []
    failed = "".join(failures_html(t) for t in report.tables)
    if failed:
        ends.append(("failures", "What failed", f'<div class="scroll" tabindex="0">{failed}</div>'))
    metrics = [(name, facts.metric_facts(fact)) for name, fact in scores.metrics.items()]
    ends.append(("protocol", "Protocol", _facts(facts.protocol_facts(run.info)) + "<h3>Metrics</h3>" + _facts(metrics)))
    if report.mos:
        ends.append(("study", "Study", _facts(_study_facts(report))))
    again = "\n".join(command(r.info, r.path.name) for r in scores.runs)
    ends.append(("again", "Make it again", f"<pre class='again'>{escape(again)}</pre>"))
    machine = [
        entry
        for r in scores.runs
        for entry in _prefixed(scores, r.path.name, [*facts.run_facts(r.info), *facts.machine_facts(r.info)])
    ]
    ends.append(("environment", "Environment", _facts(machine)))
    ends.append(
        ("weights", "Methods and weights", _facts([(name, facts.method_facts(scores.entry(name))) for name in scores.methods]))
    )
    hashes = [(f.name, f.sha256 if run.has_hr else f.lr_sha256) for f in run.faces]
    what = "prepared HR file" if run.has_hr else "LR file"
    listing = "\n".join(f"{sha}  {name}" for name, sha in hashes)
    fold = f"<details><summary>All hashes</summary><pre>{escape(listing)}</pre></details>"
    ends.append(
        (
            "hashes",
            "Faces measured",
            f"<p>{len(hashes):,} faces, with the sha256 of each {what}.</p>{fold}",
        )
    )
    return ends


def _prefixed(scores: Scores, name: str, lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return lines if len(scores.runs) == 1 else [(f"{name}: {key}", value) for key, value in lines]


def _study_facts(report: Report) -> list[tuple[str, str]]:
    assert report.mos is not None
    study = report.mos.study
    lines = notes.flat_entries(study.info, ("stimuli", "plan", "faces", "low_faces", "high_faces", "gold_faces"))
    peeks = study.peeks()
    study.close()
    return [*lines, ("looks before the stopping rule", "; ".join(f"{p['at']} by {p.get('who', '?')}" for p in peeks) or "none")]
