"""The acts of ``facesr study``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import Options, rating_options, read
from facesr.bench.reading import read_text, read_toml
from facesr.cli.options import names
from facesr.cli.study_people import opened

if TYPE_CHECKING:
    from facesr.bench.study.design import Design
    from facesr.bench.study.order import Trial

OPTIONS = (
    *("method", "raters", "images", "faces_per_rater", "pairs_per_face", "ties", "scale_factor", "seed"),
    *("anchors", "repeats", "gold", "attention", "gap", "break_every", "session_minutes", "rest_minutes"),
    *("zoom", "fractional", "outside_epsilon", "join", "completion_url", "completion_code", "contact", "stop_raters"),
    *("pairs", "reserve_minutes", "spares", "full_url", "screened_url", "already_url", "past", "texts", "url"),
    *("questionnaire", "screen_failed", "distance_cm", "practice", "comment"),
)


def act_create(args: argparse.Namespace) -> int:
    """Make a study and say what its order guarantees."""
    from facesr.bench.study import address

    options: dict[str, Any] = {name: getattr(args, name) for name in OPTIONS}
    options["conditions"] = names(args.conditions)
    options |= {option: names(getattr(args, option)) for option in ("languages", "screen", "practice_faces")}
    if args.faces:
        options["face_names"] = [line.strip() for line in read_text(args.faces).splitlines() if line.strip()]
    if args.analysis:
        options["analysis"] = read_toml(args.analysis)
    folder = args.out or Path("studies") / args.run.resolve().name
    study = facesr.Study.create(args.run, folder, database=args.database, **options).folder
    design, rows = study.design, study.design.rows()
    items = len(rows[0]) if rows else design.trials + design.repeats + design.gold + design.attention
    print(f"{folder}: {design.method.upper()}, {design.raters} raters x {items} items, {len(design.faces)} faces")
    print(f"conditions   {', '.join(design.conditions)}")
    for condition, why in design.run.get("left_out", {}).items():
        print(f"left out     {condition}: {why}")
    if outside := design.run.get("faces_outside_epsilon"):
        print(
            f"not drawn    {len(outside)} faces that a condition has outside epsilon: {', '.join(outside[:5])}{' ...' * (len(outside) > 5)}"
        )
    print(f"order        {_order(design, rows)}")
    if design.gap < 12:
        why = f"a rater sees only {design.per_rater} faces" if design.per_rater <= 12 else f"--gap {design.gap} asks for no more"
        print(f"             fewer than 12, because {why}: memory of a face may colour its next view")
    if flagged := [s for s in design.stimuli if s.flag]:
        counts = {c: sum(s.condition == c for s in flagged) for c in design.conditions}
        print(f"epsilon      outside {design.epsilon:g}, flagged: {', '.join(f'{c} {n}' for c, n in counts.items() if n)}")
    print(f"stopping     means stay hidden until {design.raters_to_finish} raters have finished")
    print(f"address      {address.remembered(folder) or f'none: facesr study url {folder} https://... remembers one for links'}")
    if not design.contact:
        print("contact      none: raters see nobody to ask, or to have their ratings deleted; --contact gives one")
    print(f"frozen       digest {study.digest}")
    return 0


def _order(design: Design, rows: list[list[Trial]]) -> str:
    """What is known of the order before the first rater: measured on the plan, or what adaptive pairs will keep to."""
    from facesr.bench.study.order import order_figures

    if not rows:
        return f"pairs are chosen when a rater begins, from all answers until then; at least {design.gap} trials between two views of a face"
    figures = order_figures(rows, design.conditions)
    once = math.isinf(figures["min_gap"])
    found = "a rater sees each face once" if once else f"at least {figures['min_gap']:.0f} trials between two views of a face"
    if "precede_low" in figures:
        found += f"; P(i before j) {figures['precede_low']:.3f} to {figures['precede_high']:.3f}"
    return found


def act_serve(args: argparse.Namespace) -> int:
    """Serve until stopped."""
    opened(args).serve(
        args.host, args.port, runs=args.runs, watching=not args.no_dashboard, address=args.address, proxies=args.proxies
    )
    return 0


def act_status(args: argparse.Namespace) -> int:
    """Who is where."""
    from facesr.bench.study import ending
    from facesr.bench.study.closing import seal_of
    from facesr.bench.study.watching import overview

    study = opened(args).folder
    if not study.imported:
        ending.carry_out(study)
    found = overview(study)
    if args.peek and not study.may_show_means():
        study.peek("facesr study status", args.peek)
    means = study.means() if args.peek or study.may_show_means() else None
    if args.json:
        print(json.dumps({**found.as_dict(), "means": means}, indent=1))
        return 0
    print(found.text())
    if sealed := seal_of(study):
        print(f"closed       {sealed.at[:10]}: {sealed.ratings:,} ratings, sha256 {sealed.ratings_sha256[:16]}")
    elif look := study.ended:
        print(
            f"ended        by the plan's rule at {look.raters} raters: {look.decided} of {look.pairs} pairs decided, level {look.level:.3g}"
        )
    elif study.plan.stopping.kind != "fixed" and study.raters_looked_at():
        print(f"look         at {study.raters_looked_at()} raters, level {study.alpha:.3g} for all pairs together")
    if means is None:
        print(f"means        hidden until {study.design.raters_to_finish} raters have finished ({study.finished()} so far)")
    else:
        print("means        " + ", ".join(f"{c} {m:.2f}" for c, m in means.items()))
    return 0


def act_simulate(args: argparse.Namespace) -> int:
    """Simulated raters, labelled as such."""
    study = opened(args)
    means = {}
    for part in names(args.mos) or []:
        name, equals, value = part.partition("=")
        try:
            means[name] = float(value)
        except ValueError:
            raise FaceSRError(f"--mos {part!r}: write NAME=MEAN, such as psp=3.7") from None
        if not equals:
            raise FaceSRError(f"--mos {part!r}: write NAME=MEAN, such as psp=3.7")
    added = study.simulate(args.raters or None, means or None, seed=args.seed)
    print(f"{len(added)} simulated raters added: {added[0]} to {added[-1]}; they are labelled, and never counted with people")
    return 0


def act_export(args: argparse.Namespace) -> int:
    """Write CSV, Parquet, manifest and dictionary."""
    files = opened(args).export(args.out, simulated=args.simulated, peek=args.peek or "")
    print(f"{args.out}: {', '.join(f.name for f in files)}")
    return 0


def act_import(args: argparse.Namespace) -> int:
    """Import; say what was understood and what is not used."""
    from facesr.bench.study.imports import FILE, into_study

    plan: dict[str, Any] = {}
    if args.analysis:
        plan |= read_toml(args.analysis)
    given = {"reference": args.reference, "screening": args.screening, "equivalence_margin": args.margin, "alpha": args.alpha}
    plan |= {key: value for key, value in given.items() if value is not None}
    study = into_study(args.file, args.out, _how(args), plan)
    _understood(args.out, study.info["source"]["format"], study.info["notes"], study.info["counts"])
    for reason, count in study.info["unused"].items():
        print(f"    not used: {count:,} {reason}")
    if study.info["unused"]:
        print(f"  each of them, with row, column and reason, is in {args.out / FILE}")
    return 0


def _understood(name: Path, layout: str, notes: Sequence[str], counts: Mapping[str, int]) -> None:
    """How a file of ratings was read."""
    print(f"{name}: {layout}", *(f"  {line}" for line in notes), sep="\n")
    print(*(f"  {what:<18}{count:>8,}" for what, count in counts.items()), sep="\n")


def _how(args: argparse.Namespace) -> Options:
    return rating_options(
        args.scale, args.map, args.labels, args.missing, args.reverse, args.pattern, args.rating_type, args.sheet, args.layout
    )


def act_check(args: argparse.Namespace) -> int:
    """Print how a file of ratings is read, and the findings; 1 where ratings are double, missing or impossible."""
    from facesr.bench.study.check import check_ratings, is_ours
    from facesr.bench.study.findings import check_imported

    if is_ours(args.path):
        findings = check_ratings(args.path, _how(args))
    else:
        found = read(args.path, _how(args))
        _understood(args.path, found.format, found.notes, found.counts)
        findings = check_imported(found)
    for finding in findings:
        print(finding)
    wrong = [f for f in findings if f.kind != "note"]
    print(f"{args.path}: {f'{len(wrong)} kinds of problem' if wrong else 'no double, missing or impossible ratings'}")
    return 1 if wrong else 0


def act_analyse(args: argparse.Namespace) -> int:
    """The whole analysis, in one form."""
    from facesr.reports.analysis import render_analysis

    found = opened(args).analyse(peek=args.peek, simulated=args.simulated, ordinal=args.ordinal)
    sys.stdout.write(render_analysis(found, args.format))
    return 0
