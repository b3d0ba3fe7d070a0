"""``facesr metrics validate``: judge metrics by people, from a rating table (or a study) and a table of scores (or a run)."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings import Options, rating_options
from facesr.bench.ratings.scored import directions, read_scored
from facesr.cli.options import names
from facesr.reports.cells import Column

if TYPE_CHECKING:
    from facesr.bench.study.analysis import Analysis
    from facesr.reports.people import People


def main(args: argparse.Namespace) -> int:
    """Print the table and the verdict; 1 where no metric can be trusted for this comparison."""
    if len(args.files) != 2:
        raise FaceSRError(
            "give the ratings and the scores: 'facesr metrics validate ratings.csv scores.csv' (a study, a run folder do too)"
        )
    if args.json and args.format not in (None, "json"):
        raise FaceSRError(f"--json and --format {args.format} ask for two forms: give one")
    ratings, scores = args.files
    how = rating_options(
        args.scale, args.map, args.labels, args.missing, args.reverse, args.pattern, args.rating_type, args.sheet, args.layout
    )
    people = _people(ratings, scores, how, args)
    sys.stdout.write(_printed(people, args))
    return 0 if people.found.trusted else 1


def _people(ratings: Path, scores: Path, how: Options, args: argparse.Namespace) -> People:
    from facesr.reports.people import people_of

    result = _analysis(ratings, how, args)
    if (scores / "run.json").is_file():
        from facesr.reports.people import stimuli
        from facesr.reports.scores import open_runs

        if args.higher or args.lower:
            raise FaceSRError("--higher and --lower are for tables of scores: a run knows which way its metrics point")
        opened = open_runs([scores])
        table = stimuli(opened, result)
        return people_of(table, {m: opened.column(m) for m in table.columns[4:]}, result)
    return _with_table(result, scores, how, args)


def _with_table(result: Analysis, scores: Path, how: Options, args: argparse.Namespace) -> People:
    from facesr.bench.registry import build_metric, installed
    from facesr.reports.people import join_scores, people_of

    read = read_scored(scores, how.splitter)
    for note in read.notes:
        print(f"{scores}: {note}", file=sys.stderr)
    known = {name: bool(build_metric(name).higher_is_better) for name in installed("facesr.metrics")}
    better = directions(read.metrics, known, names(args.higher) or (), names(args.lower) or ())
    columns = {m: Column(m, m, better[m]) for m in read.metrics}
    return people_of(join_scores(result, read.table, read.metrics), columns, result)


def _analysis(ratings: Path, how: Options, args: argparse.Namespace) -> Analysis:
    from facesr.bench.study.imports import into_study
    from facesr.reports.mos import open_study

    if (ratings / "study.json").is_file():
        if args.alpha is not None or replace(how, pattern=None) != type(how)():  # the pattern is for names in the scores, too
            raise FaceSRError(
                f"{ratings} is a study, with a plan of its own: --alpha and how to read ratings are for rating tables"
            )
        return open_study(ratings, peek=args.peek)
    if args.peek:
        raise FaceSRError(f"--peek is for studies with a stopping rule: {ratings} is a rating table")
    with tempfile.TemporaryDirectory() as folder:
        study = into_study(ratings, Path(folder) / ratings.stem, how, {"alpha": args.alpha} if args.alpha is not None else None)
        found = open_study(study.path)
    for line in found.data_words:
        print(f"{ratings}: {line}", file=sys.stderr)
    return found


def _printed(people: People, args: argparse.Namespace) -> str:
    from facesr.reports.people import agreement_table, as_dict

    if args.json or args.format == "json":
        import json

        return json.dumps(as_dict(people), indent=1, ensure_ascii=False) + "\n"
    table = agreement_table(people)
    if args.format in ("latex", "csv", "html"):
        text = {"latex": table.latex, "csv": table.csv, "html": table.html}[args.format]()
        return text if text.endswith("\n") else text + "\n"
    return people.sentences[0] + "\n\n" + table.markdown()
