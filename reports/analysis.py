"""A study's whole analysis in every form: Markdown, LaTeX, HTML, CSV and JSON, all from the one object, all complete."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from facesr.bench.numbers import fixed, p_text
from facesr.bench.study.analysis import Analysis, PairedAnalysis, Result
from facesr.bench.tables import safe_cell
from facesr.reports.cells import Cell, Column, Row
from facesr.reports.latex import tex
from facesr.reports.mos import mos_table, pairs_table
from facesr.reports.paired import paired_table
from facesr.reports.references import printed_condition
from facesr.reports.table import Table
from facesr.reports.text import escape_markdown

Form = Literal["md", "latex", "csv", "html", "json"]
FORMS: tuple[Form, ...] = ("md", "latex", "csv", "html", "json")
CSV_COLUMNS = ("part", "a", "b", "quantity", "value", "low", "high", "n", "text")
"""Columns of the CSV form: what the row is about (condition, pair, agreement, plan, ...), one or two names, and one quantity."""

STYLE = " ".join((
    "body {font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem}",
    "table {border-collapse: collapse; margin: 1.5rem 0; display: block; overflow-x: auto}",
    "th, td {padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap}",
    "th[scope=row], th:first-child {text-align: left}",
    "caption {text-align: left; font-weight: 600; padding: .5rem 0}",
    "tfoot td {text-align: left; border: 0; white-space: normal}",
))  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A heading, the tables under it and the sentences after them."""

    title: str
    tables: tuple[Table, ...] = ()
    sentences: tuple[str, ...] = ()


def analysis_parts(result: Analysis | PairedAnalysis) -> tuple[Part, ...]:
    """The analysis in the order in which it is read: plan, scores, pairs, agreement, order, screening, guards, data."""
    if isinstance(result, PairedAnalysis):
        found: tuple[Part, ...] = (
            Part("Scores", (paired_table(result),), result.sentences[: len(result.sentences) - len(result.data_words)]),
        )
    else:
        screened = result.analysis.screened
        rejected = zip(screened.rejected, screened.screening.reasons, strict=False)
        guards = tuple(str(g) for g in result.analysis.guards) or ("No guard has anything to say.",)
        found = (
            Part("Mean opinion scores", (mos_table(result), _ends(result))),
            Part("Pairs", (pairs_table(result), _more_pairs(result)), _about_pairs(result)),
            Part("Agreement", (), result.words),
            Part("Order", (_order(result),) if result.analysis.order else (), (result.order_words,)),
            *_ordinal(result),
            Part("Screening", (), (f"Rule: {screened.screening.rule}.", *(f"Rejected: {who} ({why})." for who, why in rejected))),
            Part("Guards", (), guards),
        )
    plan = (Part("Plan", (_plan(result),)),) if result.plan else (Part("Plan", (), ("No analysis plan was declared.",)),)
    data = result.data_words or ("Every rating is used.",)
    return (*plan, *found, Part("Data", (), (f"{result.citation}.", *data)))


def render_analysis(result: Analysis | PairedAnalysis, form: Form) -> str:
    """The analysis in a form by name; each is complete, and safe whatever its names hold."""
    return {"md": markdown, "latex": latex, "html": html, "csv": analysis_csv, "json": analysis_json}[form](result)


def _title(result: Result) -> str:
    return f"{result.label}: {result.name}" if result.label else f"Analysis of {result.name}"


def markdown(result: Analysis | PairedAnalysis) -> str:
    """GitHub's Markdown."""
    lines = [f"# {escape_markdown(_title(result))}", ""]
    for part in analysis_parts(result):
        lines += [f"## {part.title}", "", *(t.markdown() for t in part.tables)]
        lines += [*(f"- {escape_markdown(s)}" for s in part.sentences), ""]
    return "\n".join(lines).rstrip() + "\n"


def latex(result: Analysis | PairedAnalysis) -> str:
    """Sections with floats and lists, to be \\input; needs booktabs, graphicx and textcomp."""
    lines = [f"% {tex(_title(result))}"]
    for part in analysis_parts(result):
        lines += [rf"\section*{{{tex(part.title)}}}"]
        lines += [t.latex(columns=2, cite=False, notes="full") for t in part.tables]
        if part.sentences:
            lines += [r"\begin{itemize}", *(rf"\item {{}}{tex(s)}" for s in part.sentences), r"\end{itemize}"]
    return "\n".join(lines) + "\n"


def html(result: Analysis | PairedAnalysis) -> str:
    """A page without script or external resource; every name is escaped."""
    title = escape(_title(result))
    body = [f"<h1>{title}</h1>"]
    for part in analysis_parts(result):
        listed = "".join(f"<li>{escape(s)}</li>" for s in part.sentences)
        body += [f"<h2>{escape(part.title)}</h2>", *(t.html() for t in part.tables), f"<ul>{listed}</ul>" if listed else ""]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def analysis_json(result: Analysis | PairedAnalysis) -> str:
    """``as_dict`` as JSON; null where a number is not known."""
    return json.dumps(result.as_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def analysis_csv(result: Analysis | PairedAnalysis) -> str:
    """One quantity per row, full precision, empty where there is no number; no cell that a spreadsheet would run."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for row in _rows(result.as_dict()):
        writer.writerow([safe_cell(" ".join(v.split())) if isinstance(v, str) else "" if v is None else repr(v) for v in row])
    return buffer.getvalue()


CsvRow = tuple[str, str, str, str, float | None, float | None, float | None, int | None, str]


def _rows(content: Mapping[str, Any]) -> Iterator[CsvRow]:
    """Every leaf of ``as_dict``. Lists of tables with a condition, or with two, are the condition's or the pair's rows."""
    for key, value in content.items():
        part = {"conditions": "condition", "pairs": "pair"}.get(key, key)
        for a, b, path, leaf in _leaves(value, "", "", ()):
            yield _row(part, a, b, ".".join(path), leaf)


def _leaves(value: Any, a: str, b: str, path: tuple[str, ...]) -> Iterator[tuple[str, str, tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        a, b = str(value.get("condition", value.get("a", a))), str(value.get("b", b))
        inner = {k: v for k, v in value.items() if k not in {"condition", "a", "b"}}
        if (
            set(inner) >= {"low", "high"}
            and not any(isinstance(v, Mapping | list) for v in inner.values())
            and set(inner) <= INTERVAL
        ):
            yield a, b, path, inner
            return
        if set(inner) >= {"difference", "low", "high"}:
            yield a, b, (*path, "difference"), {"mean": inner["difference"], **{k: inner.get(k) for k in ("low", "high", "n")}}
            inner = {k: v for k, v in inner.items() if k not in {"difference", "low", "high"}}
        for key, leaf in inner.items():
            yield from _leaves(leaf, a, b, (*path, str(key)))
    elif isinstance(value, list):
        for i, leaf in enumerate(value, 1):
            named = isinstance(leaf, Mapping) and ({"condition", "a"} & set(leaf))
            yield from _leaves(leaf, a, b, path if named else (*path, str(i)))
    else:
        yield a, b, path, value


INTERVAL = {"mean", "value", "low", "high", "n", "raters", "units"}


def _row(part: str, a: str, b: str, quantity: str, leaf: Any) -> CsvRow:
    if isinstance(leaf, Mapping):
        value = leaf.get("mean", leaf.get("value"))
        return part, a, b, quantity, value, leaf["low"], leaf["high"], leaf.get("n"), ""
    if isinstance(leaf, bool) or leaf is None or isinstance(leaf, str):
        return part, a, b, quantity, None, None, None, None, "" if leaf is None else str(leaf)
    return part, a, b, quantity, leaf, None, None, None, ""


# --- tables that only the whole analysis prints -----------------------------------------------------------------------------------------


def _words(name: str, caption: str, corner: str, heads: Mapping[str, str], rows: list[tuple[str, list[str]]]) -> Table:
    columns = tuple(Column(key, label) for key, label in heads.items())
    made = tuple(
        Row(str(i), label, tuple(Cell(label, k, text=t) for k, t in zip(heads, texts, strict=True)))
        for i, (label, texts) in enumerate(rows)
    )
    return Table(name, caption, columns, made, corner=corner, show_n=False, show_spread=False, said_marks=False)


def _plan(result: Analysis | PairedAnalysis) -> Table:
    heads = {"planned": "planned", "done": "done", "deviation": "deviation"}
    rows = [(r.entry, [r.planned, r.done, r.deviation or "none"]) for r in result.plan]
    return _words("plan", "The analysis plan, and what was done", "Entry", heads, rows)


def _ends(result: Analysis) -> Table:
    heads = {"n": "ratings", "raters": "raters", "faces": "faces", "naive": "naive interval", "new": "new raters", "both": "raters and faces",
             "effect": "design effect", "grades": "ratings per grade"}  # fmt: skip
    rows = []
    for m in result.conditions:
        ends = [f"{fixed(i.low, 2)} to {fixed(i.high, 2)}" for i in (m.naive, m.over_raters, m.over_both)]
        grades = " ".join(map(str, m.histogram)) if len(m.histogram) <= 11 else "–"
        texts = [f"{m.n:,}", str(m.raters), str(m.faces), *ends, fixed(m.design_effect, 1), grades]
        rows.append((printed_condition(m.condition), texts))
    return _words("intervals", f"Counts and 95 % intervals of {result.name}", "Condition", heads, rows)


def _more_pairs(result: Analysis) -> Table:
    """What the table of pairs has no room for."""
    heads = {"verdict": "verdict", "joint": "joint interval", "n": "n", "se": "SE", "df": "df", "mwu": "p MWU, Holm", "nemenyi": "p Nemenyi",
             "noninferior": "p non-inferior", "detectable": "detectable", "left": "p without any one",
             "whom": "hangs on", "faces": "r faces"}  # fmt: skip
    rows = []
    for q in result.pairs:
        equal = q.equivalence
        joint = f"{fixed(q.low_joint, 2)} to {fixed(q.high_joint, 2)}"
        texts = [q.verdict, joint, f"{q.n:,}", fixed(q.se, 3), fixed(q.df, 1), p_text(q.p_paper_holm),
                 p_text(q.p_nemenyi), p_text(equal.p_noninferior) if equal else "–", fixed(q.detectable, 2),
                 " to ".join(p_text(p) for p in q.p_left_out),
                 q.left_out.hangs_on if q.left_out else "–", fixed(q.rank_biserial_faces, 2)]  # fmt: skip
        rows.append((f"{printed_condition(q.a)} − {printed_condition(q.b)}", texts))
    return _words("pairs-more", f"More of all pairs of {result.name}", "Pair", heads, rows)


def _order(result: Analysis) -> Table:
    heads = {"estimate": "estimate", "interval": "95 % interval", "p": "p", "holm": "p, Holm", "raters": "raters"}
    rows = [
        (e.words.capitalize(), [fixed(e.estimate, 3), f"{fixed(e.low, 3)} to {fixed(e.high, 3)}", p_text(e.p), p_text(e.p_holm), str(e.raters)])
        for e in result.analysis.order
    ]  # fmt: skip
    return _words("order", f"When ratings of {result.name} were given", "Effect", heads, rows)


def _ordinal(result: Analysis) -> tuple[Part, ...]:
    """The ordinal model beside the MOS, where it was asked for."""
    model = result.analysis.ordinal
    if model is None:
        return ()
    heads = {"effect": "effect (logit)", "se": "SE", "interval": "95 % interval"}
    rows = [
        (printed_condition(name), [fixed(effect, 2), fixed(se, 2), f"{fixed(low, 2)} to {fixed(high, 2)}"])
        for name, effect, se, low, high in zip(model.names, model.effects, model.errors, model.low, model.high, strict=True)
    ]
    same = "the same order as by MOS" if model.agrees else "not the order by MOS"
    order = " > ".join(printed_condition(name) for name in model.order)
    said = (
        f"A sensitivity analysis; the plan decides by the tests above. From best to worst: {order}, {same}.",
        f"Spread on the logit scale: raters {fixed(model.rater_sd, 2)}, faces {fixed(model.face_sd, 2)}. The errors know random intercepts only.",
    )
    caption = f"Ordinal mixed model of {result.name}: effects relative to {printed_condition(model.names[0])}"
    return (Part("Ordinal model", (_words("ordinal", caption, "Condition", heads, rows),), said),)


def _about_pairs(result: Analysis) -> tuple[str, ...]:
    """Where a pair was not tested, or is not the difference of the two MOS."""
    told = [(q, text) for q in result.pairs for text in (q.undefined, q.basis) if text]
    return tuple(f"{printed_condition(q.a)} − {printed_condition(q.b)}: {text}." for q, text in told)
