"""Pages that MkDocs makes from the code itself at build time: one page per metric and per method, lists of both, and llms.txt."""

from __future__ import annotations

import inspect
import os
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

HERE = Path(__file__).parent


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    pages = {**metric_pages(), **method_pages()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, "llms.txt", content=llms(sorted(pages))))
    return files


def on_post_build(config: Any, **_: Any) -> None:
    """A report of the demo faces that opens in the browser without anything installed. Its run is kept in ``build/``, so that the next
    build computes nothing; ``FACESR_DOCS_METHODS`` and ``FACESR_DOCS_METRICS`` name others.
    """
    import facesr
    from facesr.reports.gather import gather
    from facesr.reports.page import html_page
    from facesr.reports.scores import open_runs

    methods = os.environ.get("FACESR_DOCS_METHODS", "bicubic,fsrnet,pix2pixhd,psp,psp-refined").split(",")
    metrics = os.environ.get("FACESR_DOCS_METRICS", "psnr,ssim,st-lpips-alex,identity-sface,consistency").split(",")
    run, site = HERE.parent / "build" / f"demo-run-{len(methods)}", Path(config["site_dir"])
    facesr.run("demo-x8-128", methods, run, metrics=metrics)
    (site / "demo").mkdir(parents=True, exist_ok=True)
    (site / "demo" / "report.html").write_text(html_page(gather(open_runs([run]))), encoding="utf-8")


def on_post_page(output: str, **_: Any) -> str:
    """The theme hides its colour switch from screen readers, but not from the keyboard."""
    return output.replace(
        '<input class="md-option" data-md-color-media', '<input tabindex="-1" class="md-option" data-md-color-media'
    )


def metric_pages() -> dict[str, str]:
    """``reference/metrics/NAME.md`` for each installed metric that can be made, and the list of all."""
    from facesr.bench.registry import build_metric, installed

    facts = tomllib.loads((HERE / "facts.toml").read_text(encoding="utf-8"))
    values = tomllib.loads((HERE / "values.toml").read_text(encoding="utf-8"))
    pages, rows = {}, ["| name | label | better | what |", "|---|---|---|---|"]
    for name in installed("facesr.metrics"):
        try:
            metric = build_metric(name)
        except Exception as error:  # one that needs a package which is not here is listed with the reason
            rows.append(f"| `{name}` | | | not available where this page was built: {cell(str(error))} |")
            continue
        better = "higher" if metric.higher_is_better else "lower"
        what = (inspect.getdoc(type(metric)) or "").strip()
        family = next((fact for key, fact in facts["metrics"].items() if name.startswith(key)), {})
        low, high = metric.range
        lines = [f"# {metric.label} (`{name}`)", "", what, "", "| | |", "|---|---|", f"| better | {better} |"]
        lines += [
            f"| range | {low:g} to {high:g}{' ' + metric.unit if metric.unit else ''} |",
            f"| conventions | {cell(metric.conventions)} |",
        ]
        lines += [
            f"| numbers as in | {cell(metric.source or 'own definition, see the class')} |",
            f"| version | {metric.version} |",
        ]
        lines += [
            "",
            *reference_value(name, values),
            "## When it misleads",
            "",
            family.get("misleads", "No fault beyond those of every average: look at faces, not only at means."),
        ]
        lines += [
            "",
            "## In a run",
            "",
            "```",
            f"facesr run demo-x8-128 --methods bicubic --metrics {name} --out runs/{name}",
            "```",
            "",
        ]
        pages[f"reference/metrics/{name}.md"] = "\n".join(lines)
        rows.append(
            f"| [`{name}`](metrics/{name}.md) | {cell(metric.label)} | {better} | {cell(what.splitlines()[0] if what else '')} |"
        )
    return {**pages, "reference/metrics.md": "\n".join(["# Metrics", "", *rows, ""])}


def reference_value(name: str, values: dict[str, Any]) -> list[str]:
    """What the metric gives of a picture that everybody has, so that a reader can tell whether theirs agrees."""
    if name not in values["values"]:
        return ["No reference value: it scores a whole set, needs a file that was not here, or a package of its own.", ""]
    return [f"Reference value: **{values['values'][name]}** {values['of']}.", ""]


def method_pages() -> dict[str, str]:
    """``reference/methods/NAME.md`` for each installed method, and the list of all."""
    from facesr.bench.method import Method
    from facesr.bench.registry import installed, load_class
    from facesr.reports.references import bibliography_entries, printed

    pages, rows = {}, ["| name | what |", "|---|---|"]
    facts = tomllib.loads((HERE / "facts.toml").read_text(encoding="utf-8"))["methods"]
    for name, target in installed("facesr.methods").items():
        cls = load_class(target, Method, "method")
        what = (inspect.getdoc(cls) or "").strip()
        lines = [f"# {printed(name, cls.cite)} (`{name}`)", "", what, ""]
        if fact := facts.get(name):
            heads = (("paper", "What the paper says"), ("here", "What runs here"), ("weights", "Weights"))
            lines += [line for key, title in heads for line in (f"## {title}", "", fact[key], "")]
        lines += ["## Parameters", ""]
        skipped = ("self", "size", "scale", "seed", "device")
        found = [
            p for p in inspect.signature(cls.__init__).parameters.values() if p.name not in skipped and p.kind is not p.VAR_KEYWORD
        ]
        lines += [f"- `--set {name}.{p.name}={'' if p.default is p.empty else p.default}`" for p in found] or ["none"]
        lines += ["", "## Terms", "", cls.terms or "None beyond this project's licence."]
        if cls.cite in bibliography_entries():
            lines += ["", "## Cite", "", "```bibtex", bibliography_entries()[cls.cite], "```"]
        pages[f"reference/methods/{name}.md"] = "\n".join([*lines, ""])
        rows.append(f"| [`{name}`](methods/{name}.md) | {cell(what.splitlines()[0] if what else '')} |")
    more = "\nAlso: `label=folder:PATH` (finished images), `label=command:FILE.toml` (an external program), `my.py:Mine` (a class of yours).\n"
    return {**pages, "reference/methods.md": "\n".join(["# Methods", "", *rows, more])}


def llms(generated: list[str]) -> str:
    """llms.txt: what a language model that helps a user should read, and where."""
    pages = [p.relative_to(HERE).as_posix() for p in sorted(HERE.rglob("*.md"))]
    head = [
        "# FaceSR-Bench",
        "",
        "> Compares face super-resolution methods on the same faces, runs human MOS studies on the results, prints the tables of a paper.",
        "",
        "Command: `facesr`. Python: `import facesr` (facesr.score, facesr.metric, facesr.method). No other name is public.",
        "",
        "## Pages",
        "",
    ]
    return "\n".join([*head, *(f"- [{page}]({page.removesuffix('.md')}.html)" for page in [*pages, *generated]), ""])


def cell(text: str) -> str:
    """A text inside a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
