"""List the metrics with their conventions, or judge them by people: validate RATINGS SCORES.

facesr metrics                                   every metric: range, direction, colour, border, network
facesr metrics ssim                              one in full, with its source
facesr metrics validate ratings.csv scores.csv   which metric predicts people, with intervals over faces, and which to trust
facesr metrics validate STUDY RUN                the same of a study and the run it rated
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facesr.bench import registry
from facesr.bench.errors import FaceSRError
from facesr.cli.study import reading_options
from facesr.cli.validate import main as validate

VALIDATE = "validate"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "name", nargs="?", help="show one metric in full, also with conventions, as in psnr?border=4; or 'validate'"
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="RATINGS SCORES", help="validate: a rating table or study; a table of scores or run"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    judge = parser.add_argument_group("validate")
    judge.add_argument("--format", choices=("md", "latex", "csv", "html", "json"), help="form of the table (default: md)")
    judge.add_argument("--higher", metavar="NAME,...", help="metrics of the table of scores of which higher is better")
    judge.add_argument(
        "--lower", metavar="NAME,...", help="metrics of which lower is better; both are known of this suite's metrics"
    )
    judge.add_argument("--alpha", type=float, help="level at which people tell methods apart, of a rating table (default .05)")
    judge.add_argument("--peek", action="store_true", help="of a study: before its stopping rule is met, which is logged")
    reading_options(parser, "validate: how to read the ratings")


def main(args: argparse.Namespace) -> int:
    """Print a line for each metric, or one in full; or judge them by people."""
    if args.name == VALIDATE:
        return validate(args)
    only = [
        f"--{k.replace('_', '-')}"
        for k, v in vars(args).items()
        if k not in LISTING and not (v is None or v is False or v in ([], ()))
    ]
    if args.files or only:
        raise FaceSRError(f"{', '.join(only) or args.files[0]} belongs to 'facesr metrics validate RATINGS SCORES'")
    names = [args.name] if args.name else list(registry.installed("facesr.metrics"))
    metrics = [registry.build_metric(*registry.parse_metric(name)) for name in names]
    if args.json:
        import json

        facts = ("name", "label", "higher_is_better", "unit", "digits", "range", "conventions", "source")
        print(json.dumps([{fact: getattr(metric, fact) for fact in facts} for metric in metrics], indent=1, ensure_ascii=False))
        return 0
    for metric in metrics:
        arrow = "higher is better" if metric.higher_is_better else "lower is better"
        low, high = metric.range
        span = f"{low:g} to {high:g}{' ' + metric.unit if metric.unit else ''}"
        print(f"{metric.name:<24} {arrow:<17} {span:<18} {metric.conventions}")
        if args.name:
            print(f"\n{(type(metric).__doc__ or '').strip()}\n\nsource   {metric.source}")
    return 0


LISTING = frozenset({"name", "files", "json", "quiet", "verbose", "command"})
"""Arguments that the list understands."""
