"""List the metrics with their conventions: range, direction, colour, border, network, source."""

from __future__ import annotations

import argparse


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", help="show one metric in full, also with conventions, as in psnr?border=4")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(args: argparse.Namespace) -> int:
    """Print a line for each metric, or one in full."""
    from facesr.bench import registry

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
