"""Acts of ``facesr study`` about the plan: its text for a preregistration, what was carried out, and the end of collection."""

from __future__ import annotations

import argparse

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.stats.clustered import components
from facesr.bench.stats.cube import cube
from facesr.bench.stats.power import TYPICAL, check_chances, check_known, power_grid, size_sentence
from facesr.bench.study.preregister import text
from facesr.bench.study.rescue import rescue


def act_preregister(args: argparse.Namespace) -> int:
    """Print the plan as a text."""
    if args.simulated and not args.pilot:
        raise FaceSRError("--simulated needs --pilot STUDY, whose simulated raters it takes")
    study = facesr.Study.load(args.study).folder
    parts, source = None, ""
    if args.pilot:
        pilot = facesr.Study.load(args.pilot).folder
        parts, source = components(cube(pilot.ratings(simulated=args.simulated)).values), f"the pilot study {pilot.name}"
        check_known(parts, source)
    print(text(study, args.difference, parts, source), end="")
    return 0


def act_close(args: argparse.Namespace) -> int:
    """End the collection."""
    sealed = facesr.Study.load(args.study, args.database).end(args.reason)
    print(f"{args.study} is closed: {sealed.ratings:,} ratings of {sealed.raters} raters; nothing is taken any more")
    print(f"ratings      sha256 {sealed.ratings_sha256}")
    print(f"texts        sha256 {sealed.texts_sha256}")
    return 0


def act_rescue(args: argparse.Namespace) -> int:
    """Save what can be read of a damaged database."""
    found = rescue(args.study, args.out, args.database)
    for name, (saved, lost) in found.items():
        print(f"  {name:<14}{saved:>8,} rows saved" + (f", {lost:,} lost" if lost else ""))
    print(f"{args.out}: check it with 'facesr study check {args.out}'; {args.study} was not touched")
    return 0


def act_power(args: argparse.Namespace) -> int:
    """Detectable differences, by simulation."""
    if args.simulated and not args.study:
        raise FaceSRError("--simulated needs --study STUDY, whose simulated raters it takes")
    check_chances(args.alpha, args.target, args.difference)
    if args.comparisons < 1:
        raise FaceSRError(f"--comparisons counts the pairs compared, 1 or more, got {args.comparisons}")
    parts, source = TYPICAL, "measured on 19 raters x 27 prompts x 5 image generators (AVT AI images)"
    if args.study:
        study = facesr.Study.load(args.study).folder
        if study.method == "pair":
            raise FaceSRError(
                f"{args.study} is a paired comparison: its answers are left, right and tie, not grades, so no rating study can be planned "
                "from them; give a study of ratings, or leave --study out"
            )
        parts = components(cube(study.ratings(simulated=args.simulated)).values)
        check_known(parts, str(args.study))
        source = f"from {'simulated ' if args.simulated else ''}ratings of {study.name}"
    alpha = args.alpha / args.comparisons
    grid = power_grid(parts, args.raters, args.images, alpha, args.target, args.difference, args.images_per_rater)
    print(f"variance components {source}:")
    print("  " + ", ".join(f"{k.replace('_', ' x ')} {v:.2f}" for k, v in vars(parts).items() if isinstance(v, float)))
    print(f"two-way clustered t test of one difference, alpha {alpha:.4g}:\n")
    print(f"| raters | images | a rater sees | detectable with {args.target:.0%} | power for {args.difference:g} |")
    print("|---:|---:|---:|---:|---:|")
    for p in grid:
        print(f"| {p.design.raters} | {p.design.faces} | {p.design.seen} | {p.detectable:.2f} | {p.power:.0%} |")
    if args.images_per_rater is None and args.target == 0.8:
        for p in grid[:1]:
            print(f"\n{size_sentence(parts, p.design.raters, p.design.faces, args.difference, args.alpha, args.comparisons)}")
    return 0
