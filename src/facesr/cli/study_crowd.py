"""Acts of ``facesr study`` about a crowd: payments, completion codes, places given back."""

from __future__ import annotations

import argparse

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.study import payments as pay
from facesr.bench.study.crowd import depart
from facesr.bench.study.payments import find_code


def act_payments(args: argparse.Namespace) -> int:
    """Write the platform's files, or erase the ids of what is settled."""
    study = facesr.Study.load(args.study, args.database).folder
    if args.settled:
        if beside := [name for name, value in {"--out": args.out, "--bonus": args.bonus}.items() if value]:
            raise FaceSRError(
                f"--settled erases the ids of what is paid and writes nothing: leave out {' and '.join(beside)}, or call twice"
            )
        print(f"{pay.settle(study)} submissions are settled: their ids are erased, and the log says so")
        return 0
    if args.out is None:
        raise FaceSRError("say where the platform's files go with --out FOLDER, or erase the ids of what is paid with --settled")
    everyone, single = _bonus(args.bonus)
    files = pay.write_payments(study, args.out, single, bonus_all=everyone)
    found = pay.payments(study)
    counts = {d: sum(p.decision == d for p in found) for d in ("approve", "reject", "wait", "returned")}
    print(f"{args.out}: {', '.join(f.name for f in files)}")
    print(", ".join(f"{name} {count}" for name, count in counts.items()))
    print("when they are paid: facesr study payments STUDY --settled erases the ids")
    return 0


def _bonus(text: str) -> tuple[float, dict[str, float]]:
    """``0.50`` for everyone approved, or ``r007=1.50,r012=0.25``."""
    import math

    everyone, single = 0.0, {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, amount = part.rpartition("=")
        try:
            value = float(amount)
        except ValueError:
            value = math.nan
        if not 0 < value <= 1000:
            raise FaceSRError(f"--bonus {part!r}: write an amount such as 0.50, or RATER=AMOUNT; at most 1000")
        if name:
            single[name] = value
        else:
            everyone = value
    return everyone, single


def act_code(args: argparse.Namespace) -> int:
    """Who was given a completion code."""
    study = facesr.Study.load(args.study, args.database).folder
    found = find_code(study, args.code)
    print(f"{args.code}: {', '.join(found)}" if found else f"{args.code}: no rater was given this code")
    return 0 if found else 1


def act_returned(args: argparse.Namespace) -> int:
    """Free the place of a worker who returned the submission."""
    study = facesr.Study.load(args.study, args.database).folder
    if study.design.join == "invited":
        raise FaceSRError(
            f"{args.study} takes raters by invitation, and no worker comes for a free place: use 'facesr study replace'"
        )
    depart(study, args.rater, "returned", args.reason)
    print(f"{args.rater}: the place is free for the next worker; the ratings stay, and are left out")
    return 0
