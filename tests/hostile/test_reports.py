"""Every text of a stranger's run, as HTML, JavaScript, LaTeX or a formula: tables, page and paper folder show it and do not obey it."""

from __future__ import annotations

import csv
import io
import json
import re
from concurrent.futures import ProcessPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from facesr.bench import protocol
from facesr.bench.registry import installed, method_specs
from facesr.bench.results import load_run
from facesr.bench.results.cells import Cells, ScoreCell
from facesr.bench.run import make_plan, start
from facesr.cli import main
from helpers import TINY, faces
from hostile.campaign import Outcome, check, peak, reset_peak

PAYLOADS = (
    '<img src=x onerror="alert(1)">', "</script><script>alert(1)</script>", "\"><svg onload=alert(1)>", "javascript:alert(1)", "![x](http://evil/x)",
    "\\input{/etc/passwd}", "\\write18{touch x}", "$\\def\\x{}\\x$ % & # _ { } ~ ^", "=HYPERLINK(\"http://evil\")", "+1+cmd|' /C calc'!A0",
    "@SUM(1)", "-1+1", "a|b|c\n|d|", "`x` **b** [l](javascript:1)",
)  # fmt: skip
FREE = {
    "title", "name", "description", "note", "notes", "terms", "cite", "conventions", "source", "unit", "label", "remarks", "diagnosis",
    "params", "environment",
}  # fmt: skip


def _poisoned(plain: Any, payload: str, key: str = "") -> Any:
    """``run.json`` with the payload in every text that is free to be anything; a method's label and a face's name keep their form."""
    if isinstance(plain, dict):
        if "target" in plain:  # a method: its label is a file's name
            return {
                k: v if k in ("label", "target", "code") else [payload] if v == [] else _poisoned(v, payload, k)
                for k, v in plain.items()
            }
        if "sha256" in plain:  # a face
            return plain | {"attributes": {payload: payload, "sex": payload}, "note": payload}
        known = {k: payload if k in FREE and isinstance(v, str) else _poisoned(v, payload, k) for k, v in plain.items()}
        return known | ({payload: payload} if key in ("environment", "weights") else {})
    return [_poisoned(v, payload, key) for v in plain] if isinstance(plain, list) else plain


LINKS = ("src", "href", "action", "formaction", "xlink:href", "srcset", "data", "style")


class _Page(HTMLParser):
    """What a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            text = (value or "").strip().lower()
            handler = name.startswith("on") and "alert" in text
            if handler or (name in LINKS and (text.startswith("javascript:") or "evil" in text)):
                self.acts.append(f"{tag} {name}={text}")
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if getattr(self, "inside", "") == "script" and "alert(1)" in data:
            self.acts.append(f"script {data[:60]}")


def _acts_of(text: str) -> list[str]:
    page = _Page()
    page.feed(text)
    return page.acts


def _commands_of(tex: str) -> list[str]:
    """LaTeX that would be obeyed: outside what ``\\textbackslash`` and braces make of it."""
    return re.findall(r"\\(?:input\{/etc|write18|def\\x)", tex)


def _formulae_of(text: str) -> list[str]:
    """Cells that a spreadsheet would compute: texts that begin as a formula does, and are no numbers."""
    number = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?%?")
    return [
        cell for row in csv.reader(io.StringIO(text)) for cell in row if cell[:1] in tuple("=+-@") and not number.fullmatch(cell)
    ]


def _poisoned_run(world: Path, payload: str) -> Path:
    run = world / "run"
    file = run / "run.json"
    whole = file.with_suffix(".whole")
    if not whole.exists():
        whole.write_bytes(file.read_bytes())
    file.write_text(json.dumps(_poisoned(json.loads(whole.read_text()), payload)))
    with Cells(run, write=True) as cells:
        cells.put([c._replace(status="failed", reason=payload, value=None) for c in cells.rows(ScoreCell) if c.image == "000"])
    (run / "scores.parquet").unlink(missing_ok=True)
    load_run(run)
    return run


def _campaign(world: Path) -> Outcome:
    faces(world / "hr", 3)
    known = protocol.parse_protocol(TINY, metrics=installed("facesr.metrics"))
    start(make_plan(known, method_specs(["bicubic", "nearest"]), world / "run", data=str(world / "hr")))
    reset_peak()
    outcome = Outcome("reports of a stranger's run")
    judge = {"html": _acts_of, "tex": _commands_of, "csv": _formulae_of, "md": _acts_of}
    for i, payload in enumerate(PAYLOADS):
        run = _poisoned_run(world, payload)

        def one(kind: str, run: Path = run) -> list[str]:
            out = world / f"t.{kind}"
            assert main(["table", str(run), "--out", str(out), "-q"]) == 0
            return judge[kind](out.read_text())

        def report(run: Path = run) -> list[str]:
            assert main(["report", str(run), "--faces", "001", "--out", str(world / "report"), "-q"]) == 0
            page = next((world / "report").glob("*.html")).read_text()
            return _acts_of(page) + [c for tex in (world / "report").rglob("*.tex") for c in _commands_of(tex.read_text())]

        for kind in judge:
            outcome.one(f"{kind} {payload!r}", lambda kind=kind: one(kind), _nothing)  # type: ignore[misc]
        if i in (0, 1, 5):
            outcome.one(f"report {payload!r}", report, _nothing)
    outcome.peak = peak()
    return outcome


def _nothing(acts: list[str]) -> bool:
    if acts:
        raise AssertionError(f"acts: {acts[:2]}")
    return True


def test_texts_are_shown_and_not_obeyed(tmp_path: Path, fresh: ProcessPoolExecutor) -> None:
    check(fresh.submit(_campaign, tmp_path).result())
