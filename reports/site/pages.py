"""The pages of a leaderboard. Every word of a submission is escaped; every link leads to another page of the site."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

from facesr import __version__
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging.files import make_folder, write_whole
from facesr.reports import facts, notes
from facesr.reports.cells import Cell, number
from facesr.reports.gather import headline, warnings
from facesr.reports.html import failures_html, to_html
from facesr.reports.page import CSP
from facesr.reports.scores import Scores, from_runs
from facesr.reports.site.ranking import Place, ranking
from facesr.reports.site.submissions import Submission, by_digest, read_submission
from facesr.reports.table import Table
from facesr.reports.tables import score_table

HOW = (
    "A place is a range where chance cannot tell: from one more than the number of methods that are better beyond chance, to the number of "
    "methods that are not worse (paired Wilcoxon over faces, Holm, .05; scores of a whole set: intervals that do not meet). Means are over faces "
    "that have a value; those without one are counted."
)


@dataclass(frozen=True)
class Site:
    """``index``: the page to open; ``boards``: how many tables (digests) there are; ``pages``: how many pages."""

    index: Path
    boards: int
    pages: int


def write_site(paths: Sequence[Path], out: Path, title: str = "Face super-resolution leaderboard") -> Site:
    """Write the leaderboard of submissions (see ``read_submission``) into ``out``: a table for each digest, a page for each metric in it.

    Runs of different digests never meet in one table. Raises ``FaceSRError`` for what is no run, and for runs of one digest whose metrics
    were measured with other conventions or weights.
    """
    if not paths:
        raise FaceSRError("no run was named: give run folders, bundles, or folders of submissions")
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / "index.html").is_file())):
        raise FaceSRError(f"{out} is there already and is no leaderboard: name another --out")
    with ExitStack() as stack:
        boards = by_digest([read_submission(path, stack) for path in paths])
        files: dict[str, str] = {}
        made = [(digest, subs, from_runs([s.run for s in subs], [s.name for s in subs])) for digest, subs in boards.items()]
        for digest, submissions, scores in made:
            files |= _board(_slug(digest), submissions, scores, title)
        files["index.html"] = _index(made, title)
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            make_folder(out, (out / name).parent)
            write_whole(out / name, text)
    return Site(out / "index.html", len(boards), sum(name.endswith(".html") for name in files))


def _slug(digest: str) -> str:
    """A digest may be any text in a stranger's run.json: its name in the site is made of hexadecimal digits."""
    return hashlib.sha256(digest.encode("utf-8", "backslashreplace")).hexdigest()[:12]


def _page(title: str, subtitle: str, menu: Iterable[tuple[str, str]], body: str) -> str:
    folder = Path(__file__).parent
    style = (folder.parent / "page.css").read_text(encoding="utf-8") + (folder / "site.css").read_text(encoding="utf-8")
    links = " ".join(f'<a href="{escape(to, quote=True)}">{escape(words)}</a>' for to, words in menu)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{CSP}">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{escape(title)}</h1>\n<p class="subtitle">{escape(subtitle)}</p></header>\n'
        f'<nav aria-label="Pages">{links}</nav>\n<main>\n{body}\n</main>\n'
        f"<footer>Made by facesr-bench {__version__}. No script, and nothing from elsewhere.</footer>\n</body>\n</html>\n"
    )


def _index(made: Sequence[tuple[str, list[Submission], Scores]], title: str) -> str:
    rows = []
    for digest, submissions, scores in made:
        link = f'<a href="{_slug(digest)}/index.html">{escape(notes.title(submissions[0].run))}</a>'
        cells = [notes.whose_faces(scores), f"{len(scores.methods)}", f"{len(submissions)}", digest[:12]]
        rows.append(f'<tr><th scope="row">{link}</th>{"".join(f"<td>{escape(c)}</td>" for c in cells)}</tr>')
    head = "".join(f'<th scope="col">{h}</th>' for h in ("Protocol", "Faces", "Methods", "Submissions", "Digest"))
    words = (
        "One table for each digest of protocol and faces: numbers of two digests are not comparable, and never stand in one table."
    )
    table = f'<table class="facts boards"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    body = f'<p>{words}</p>\n<div class="scroll" tabindex="0">{table}</div>'
    count = f"{len(made)} table{'s' if len(made) > 1 else ''}, {sum(len(s) for _, s, _ in made)} submissions"
    return _page(title, count, [], body)


def _board(slug: str, submissions: Sequence[Submission], scores: Scores, title: str) -> dict[str, str]:
    """Pages of one digest: the whole table, a ranking for each metric that has values, and the table as data."""
    table = _without_paths(score_table(scores, full=True), submissions, scores)
    shown = [m for m in scores.metrics if any(c.n for c in table.cells if c.metric == m)]
    if not shown:
        raise FaceSRError(
            f"{', '.join(s.name for s in submissions)}: no method has a value of any metric, so there is nothing to rank"
        )
    names = {m: f"metric-{i}.html" for i, m in enumerate(shown, 1)}
    menu = [("../index.html", "All tables"), ("index.html", "Whole table"), *((names[m], scores.column(m).label) for m in shown)]
    subtitle = notes.caption(scores)
    first = headline(scores)
    files = {f"{slug}/index.html": _page(title, subtitle, menu, _whole(submissions, scores, table, names, first))}
    for metric in shown:
        files[f"{slug}/{names[metric]}"] = _page(
            f"{title}: {scores.column(metric).label}", subtitle, menu, _by_metric(submissions, scores, metric)
        )
    files[f"{slug}/table.csv"] = table.csv()
    files[f"{slug}/table.json"] = table.json()
    return files


def _without_paths(table: Table, submissions: Sequence[Submission], scores: Scores) -> Table:
    """Each cell says which submission it is of, and not where that lay."""
    names = {id(s.run): s.name for s in submissions}
    of = {m: names[id(run)] for m, (run, _) in scores.owner.items()}
    rows = [replace(row, cells=tuple(c and replace(c, run=of[c.method]) for c in row.cells)) for row in table.rows]
    return replace(table, rows=tuple(rows))


def _whole(submissions: Sequence[Submission], scores: Scores, table: Table, names: dict[str, str], first: str) -> str:
    said = warnings(scores, None)
    said += [f"{s.name}: {s.checked}." for s in submissions if s.record is not None and not s.record.clean]
    items = "".join(f"<li>{escape(line)}</li>" for line in said)
    alarm = f'<section class="warnings" role="note"><h2>Before you quote a number</h2><ul>{items}</ul></section>' if items else ""
    failed = failures_html(table)
    return "\n".join(
        [
            alarm,
            f'<section id="ranking"><h2>Ranking by {escape(scores.column(first).label)}</h2>{_ranks(submissions, scores, first)}</section>',
            f'<section id="table"><h2>All metrics</h2><div class="scroll" tabindex="0">{to_html(table, links=names)}</div>',
            '<p>The same as data: <a href="table.csv">table.csv</a>, <a href="table.json">table.json</a>.</p></section>',
            f'<section id="failed"><h2>What failed</h2><div class="scroll" tabindex="0">{failed}</div></section>' if failed else "",
            _handed_in(submissions),
            _methods(submissions, scores),
        ]
    )


def _by_metric(submissions: Sequence[Submission], scores: Scores, metric: str) -> str:
    fact = facts.metric_facts(scores.metrics[metric])
    return f'<p class="under">{escape(fact)}</p>{_ranks(submissions, scores, metric)}'


def _ranks(submissions: Sequence[Submission], scores: Scores, metric: str) -> str:
    parts = []
    for scale in scores.scales:
        heading = f"<h3>×{scale}</h3>" if len(scores.scales) > 1 else ""
        places = ranking(scores, metric, scale)
        live = [p for p in places if p.best]
        tied = len(live) > 1 and all((p.best, p.worst) == (1, len(live)) for p in live)
        words = f"<p>On {len(scores.faces):,} faces no two of these methods can be told apart by this metric.</p>" if tied else ""
        parts.append(heading + words + _rank_table(submissions, scores, metric, places))
    return "".join(parts) + f'<p class="under">{escape(HOW)}</p>'


def _rank_table(submissions: Sequence[Submission], scores: Scores, metric: str, places: Sequence[Place]) -> str:
    column = scores.column(metric)
    unit = f" ({column.unit})" if column.unit else ""
    heads = ("Place", "Method", f"{column.label}{unit} {column.arrow}", "95 % interval", "n", "Failed", "Submission", "Check")
    owner = {id(s.run): s for s in submissions}
    rows = []
    for place in places:
        cell = place.cell
        of = owner[id(scores.owner[cell.method][0])]
        interval = f"{_printed(cell, cell.low)} to {_printed(cell, cell.high)}" if place.best else ""
        values = [
            place.text,
            cell.method,
            _printed(cell, cell.mean) if place.best else "no value",
            interval,
            f"{cell.n:,}",
            f"{cell.failed:,}",
            of.name,
            of.mark,
        ]
        lost = ' class="failed"' if cell.failed else ""
        first, name, *rest = (escape(v) for v in values)
        inner = "".join(f"<td{lost if i == 3 else ''}>{v}</td>" for i, v in enumerate(rest))
        rows.append(f'<tr><td>{first}</td><th scope="row">{name}</th>{inner}</tr>')
    head = "".join(f'<th scope="col">{escape(h)}</th>' for h in heads)
    caption = f"By {column.label}, best first"
    return (
        f'<div class="scroll" tabindex="0"><table class="ranks"><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _printed(cell: Cell, value: float) -> str:
    return number(replace(cell, mean=value))


def _facts(lines: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(key)}</th><td>{escape(value)}</td></tr>' for key, value in lines)
    return f'<div class="scroll" tabindex="0"><table class="facts"><tbody>{rows}</tbody></table></div>'


def _handed_in(submissions: Sequence[Submission]) -> str:
    """Who is in the table, and what is known of each."""
    lines = []
    for one in submissions:
        info = one.run.info
        finished = next((c.finished for c in reversed(info.calls) if c.finished), "") or ""
        version = info.environment.get("facesr-bench", "an unknown version")
        lines.append(
            (
                one.name,
                f"{one.checked}; methods: {', '.join(one.run.methods)}; measured with facesr-bench {version}, {finished[:10]}",
            )
        )
    return f'<section id="submissions"><h2>Submissions</h2>{_facts(lines)}</section>'


def _methods(submissions: Sequence[Submission], scores: Scores) -> str:
    """Weights, licences and settings, and the metrics' conventions."""
    methods = [(name, _terms(facts.method_facts(scores.entry(name)), scores.entry(name).terms)) for name in scores.methods]
    metrics = [(name, facts.metric_facts(fact)) for name, fact in scores.metrics.items()]
    protocol = facts.protocol_facts(submissions[0].run.info)
    return (
        f'<section id="methods"><h2>Methods, weights and licences</h2>{_facts(methods)}</section>'
        f'<section id="protocol"><h2>Protocol</h2>{_facts(protocol)}<h3>Metrics</h3>{_facts(metrics)}</section>'
    )


def _terms(text: str, terms: str) -> str:
    return text if terms else f"{text}; terms: not stated" if text else "terms: not stated"
