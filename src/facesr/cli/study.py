"""Design, serve, watch, export and analyse a MOS study.

facesr study create runs/demo --raters 24 --images 40 --conditions hr,bicubic,psp
facesr study invite studies/demo --count 24 --url https://study.example.org
facesr study serve studies/demo
facesr study status studies/demo
facesr study analyse studies/demo
"""

from __future__ import annotations

import argparse
import importlib
import re
from pathlib import Path
from typing import Any

from facesr.bench.errors import FaceSRError
from facesr.bench.study.database import trouble
from facesr.cli import study_deploy, study_people

ACTS: dict[str, str] = {
    "create": "make a study from a run: order, images under opaque names, frozen design",
    "serve": "serve the rating page, and behind a login the watching page",
    "url": "print or set the server's address, which links use",
    "invite": "add raters: personal links, a table for mail merge, QR codes",
    "link": "a new personal link for a rater who lost it",
    "pause": "let a rater wait (or everyone, with 'all')",
    "resume": "let a paused rater go on (or everyone, with 'all')",
    "replace": "put a new rater in the place of one who left",
    "exclude": "leave a rater out of the analysis, by a rule and with a reason",
    "undo": "take back the last pause, exclusion or replacement of a rater, or 'pause all'",
    "delete-rater": "remove everything a rater left",
    "returned": "free the place of a crowd worker who returned the submission",
    "payments": "what to approve, reject and pay, as Prolific and MTurk import it; then erase the ids",
    "code": "who was given a completion code",
    "status": "who is where, what is missing",
    "close": "end the collection and freeze the sha256 of ratings and texts",
    "deploy": "write what a server needs: containers or systemd, proxy, backups",
    "backup": "save the running study into one file, and restore it on trial",
    "restore": "bring a study back from a backup",
    "rescue": "save what can be read of a damaged database into a new folder",
    "preregister": "print the plan as a text for a preregistration",
    "simulate": "add simulated raters, for rehearsal",
    "power": "what difference a study of this size can find",
    "export": "CSV and Parquet with manifest and data dictionary",
    "import": "keep another program's ratings as a study",
    "check": "find double, missing and impossible ratings",
    "analyse": "MOS, intervals and tests, once the stopping rule is met",
}

PEOPLE = ("url", "invite", "link", "pause", "resume", "replace", "exclude", "undo", "delete-rater")

OTHERS = {
    **dict.fromkeys(PEOPLE, "study_people"),
    **dict.fromkeys(("deploy", "backup", "restore"), "study_deploy"),
    **dict.fromkeys(("payments", "code", "returned"), "study_crowd"),
    **dict.fromkeys(("close", "power", "preregister", "rescue"), "study_plan"),
}
"""Modules of acts that are not in ``study_acts``."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``facesr study`` and of its acts."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    made: dict[str, argparse.ArgumentParser] = {}
    for act, what in ACTS.items():
        made[act] = acts.add_parser(act, help=what, description=what[0].upper() + what[1:] + ".")
    _create(made["create"])
    _serve(made["serve"])
    for act in (
        *PEOPLE,
        "deploy",
        "backup",
        "status",
        "simulate",
        "export",
        "analyse",
        "returned",
        "payments",
        "code",
        "close",
        "preregister",
        "rescue",
    ):
        made[act].add_argument("study", type=Path, help="study folder")
        if act not in ("url", "preregister"):  # they read the folder alone
            made[act].add_argument("--database", metavar="URL", help="where it is not the one noted in the folder")
    study_people.people_options(made)
    study_deploy.deploy_options(made)
    made["returned"].add_argument("rater", help="the rater's name, such as r007")
    made["returned"].add_argument("--reason", default="", help="kept in the log")
    made["code"].add_argument("code", help="the code a worker shows")
    _payments(made["payments"])
    made["rescue"].add_argument("--out", type=Path, required=True, help="new study folder")
    made["close"].add_argument("--reason", default="", help="needed before the stopping rule is met; reports print it")
    p = made["preregister"]
    p.add_argument("--difference", type=float, default=0.3, help="smallest MOS difference of interest, for the power (default 0.3)")
    p.add_argument("--pilot", type=Path, metavar="STUDY", help="take the variance components from this study's ratings")
    p.add_argument("--simulated", action="store_true", help="with --pilot: from its simulated raters")
    made["status"].add_argument("--peek", metavar="REASON", help="show means before the stopping rule is met; this is logged")
    made["status"].add_argument("--json", action="store_true", help="print JSON")
    made["simulate"].add_argument("--raters", type=int, default=0, help="how many; default: as many as the design has")
    made["simulate"].add_argument("--mos", default="", metavar="NAME=MEAN,...", help="true means, such as hr=3.9,psp=3.7")
    made["simulate"].add_argument("--seed", type=int, default=0)
    made["export"].add_argument("--out", type=Path, required=True, help="folder")
    for act in ("export", "analyse"):
        made[act].add_argument("--simulated", action="store_true", help="the simulated raters in place of people")
    made["export"].add_argument(
        "--peek", metavar="REASON", help="export people's ratings before the stopping rule is met; this is logged"
    )
    made["analyse"].add_argument("--peek", action="store_true", help="before the stopping rule is met; this is logged")
    made["analyse"].add_argument(
        "--ordinal", action="store_true", help="the ordinal mixed model too, as a sensitivity analysis (slow, extra clmm)"
    )
    made["analyse"].add_argument("--format", choices=("md", "latex", "csv", "html", "json"), default="md")
    _import(made["import"])
    made["check"].add_argument("path", type=Path, help="study folder, export folder, or a file of ratings")
    for act in ("import", "check"):
        reading_options(made[act])
    _power(made["power"])


def _create(p: argparse.ArgumentParser) -> None:
    p.add_argument("run", type=Path, help="run folder")
    p.add_argument("--out", type=Path, help="study folder; default studies/<name of the run>")
    p.add_argument("--method", choices=("acr", "acr-hr", "pair"), help="absolute category rating, with hidden reference, or pairs")
    p.add_argument("--conditions", metavar="A,B,...", help="method labels of the run, and hr; default all of them")
    size = p.add_argument_group("size")
    size.add_argument("--raters", type=int, help="default from the protocol, else 40")
    size.add_argument("--images", type=int, help="faces in the main set; default from the protocol, else 40")
    size.add_argument("--images-per-rater", type=int, dest="faces_per_rater", help="each rater sees a balanced subset of the faces")
    size.add_argument("--faces", type=Path, help="text file with the names of the main set's faces, one per line")
    size.add_argument("--pairs-per-image", type=int, dest="pairs_per_face", help="paired comparison: pairs of a face a rater sees")
    size.add_argument(
        "--pairs", choices=("balanced", "adaptive"), help="paired comparison: all pairs alike, or those that tell most"
    )
    size.add_argument("--ties", action="store_true", default=None, help="paired comparison: allow 'no difference'")
    size.add_argument("--scale-factor", type=int, help="which downscaling, where the run has several")
    items = p.add_argument_group("items")
    items.add_argument("--anchors", type=int, help="examples of each end of the scale, shown first, not rated; default 20")
    items.add_argument("--repeats", type=int, help="trials shown again in the second half, for agreement with oneself")
    items.add_argument("--gold", type=int, help="items whose answer is known: HR and nearest neighbour")
    items.add_argument("--attention", type=int, help="items that ask for a certain key")
    items.add_argument("--gap", type=int, help="trials between two views of a face, at least; default 12")
    pace = p.add_argument_group("pace")
    pace.add_argument("--break-every", type=int, help="offer a break after so many items; default 60, 0 for none")
    pace.add_argument("--session-minutes", type=float, help="longest work without a rest; default 30, 0 for no limit")
    pace.add_argument("--rest-minutes", type=float, help="length of that rest; default 5")
    show = p.add_argument_group("showing")
    show.add_argument("--zoom", type=float, help="CSS pixels an image pixel covers; becomes whole device pixels; default 2")
    show.add_argument(
        "--fractional",
        choices=("record", "refuse"),
        help="what to do while image pixels are not whole screen pixels (a pinch zoom)",
    )
    show.add_argument(
        "--outside-epsilon", choices=("refuse", "flag"), help="images that do not agree with their LR; default: the protocol's"
    )
    entry = p.add_argument_group("entry and end")
    entry.add_argument("--join", choices=("invited", "prolific", "mturk", "open"), help="who may take a place; default invited")
    entry.add_argument("--completion-url", help="where raters go at the end; {code} is filled in")
    entry.add_argument("--completion-code", help="one code for all (Prolific); default: a code of each rater's own")
    entry.add_argument("--reserve-minutes", type=float, help="a crowd worker's place is kept so long without an answer; default 60")
    entry.add_argument(
        "--spares", type=int, help="so many finished workers, left out by the plan's rules, may be replaced; default 0"
    )
    entry.add_argument("--full-url", help="where workers go when all places are taken")
    entry.add_argument("--screened-url", help="where workers go who may not take part")
    entry.add_argument("--already-url", help="where workers go who took part in a study of --not-from")
    entry.add_argument(
        "--not-from", type=Path, nargs="+", dest="past", metavar="STUDY", help="workers of these studies may not take part"
    )
    entry.add_argument("--texts", type=Path, help="folder of own wording: en.toml, de.toml, ...; frozen with the study")
    entry.add_argument("--languages", metavar="A,B,...", help="languages to offer; default all that have the whole wording")
    entry.add_argument(
        "--url", help="address of the server, such as https://study.example.org: links, QR codes and watching page use it"
    )
    entry.add_argument("--contact", help="whom raters can ask, shown on the consent page")
    _steps(p)
    plan = p.add_argument_group("analysis plan")
    plan.add_argument("--analysis", type=Path, help="TOML file that replaces entries of the default plan")
    plan.add_argument("--stop-raters", type=int, help="means stay hidden until so many have finished; default: all")
    p.add_argument("--seed", type=int, help="of faces and order; default 0")
    p.add_argument(
        "--database", metavar="URL", help="PostgreSQL, such as postgresql://user@host/name; default SQLite in the folder"
    )


def _steps(p: argparse.ArgumentParser) -> None:
    steps = p.add_argument_group("before and after rating")
    steps.add_argument(
        "--questionnaire", metavar="FILE", help="TOML file of questions, or 'standard': age band, sight, display, room"
    )
    steps.add_argument(
        "--screen",
        metavar="A,B,...",
        help="checks: card (size, by a bank card), brightness, colour (plates), acuity (rings; needs card)",
    )
    steps.add_argument("--screen-failed", choices=("record", "refuse"), help="who fails colour plates or acuity; default record")
    steps.add_argument("--distance-cm", type=float, help="how far raters are asked to sit; default 60")
    steps.add_argument("--practice", type=int, help="images graded with feedback before the first rating, never stored as ratings")
    steps.add_argument("--practice-faces", metavar="A,B,...", help="faces to practise on; default some outside the main set")
    steps.add_argument("--comment", action="store_true", default=None, help="a field for remarks at the end")


def _serve(p: argparse.ArgumentParser) -> None:
    p.add_argument("study", type=Path, help="study folder")
    p.add_argument("--runs", type=Path, nargs="*", default=[], help="run folders for the result pages behind the login")
    p.add_argument("--host", default="127.0.0.1", help="address to listen on; default this machine only")
    p.add_argument("--port", type=int, default=8501)
    p.add_argument("--address", default="", help="host name organisers use through a proxy; default: that of create --url")
    p.add_argument("--proxies", default="127.0.0.1", help="reverse proxies whose X-Forwarded headers are believed")
    p.add_argument("--no-dashboard", action="store_true", help="the rating page alone, without Streamlit")
    p.add_argument("--database", metavar="URL", help="where it is not the one noted in the folder")


def _payments(p: argparse.ArgumentParser) -> None:
    p.add_argument("--out", type=Path, help="folder for the platform's files; they hold ids, so only you can read them")
    p.add_argument("--bonus", default="", metavar="AMOUNT|RATER=AMOUNT,...", help="for everyone approved, or for some")
    p.add_argument("--settled", action="store_true", help="everything decided is paid: erase the ids")


def _import(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "file",
        type=Path,
        help="ratings: .csv, .tsv, .xlsx, .parquet, .json, AVrate .db, sureal .py, or a folder of one file per person",
    )
    p.add_argument("--out", type=Path, required=True, help="study folder to make")
    plan = p.add_argument_group("analysis plan, declared after the ratings (the report says so)")
    plan.add_argument("--analysis", type=Path, help="TOML file with entries of the plan")
    plan.add_argument("--reference", metavar="NAME", help="condition that DMOS is taken from, such as hr")
    plan.add_argument("--screening", metavar="RULE", help="rule that rejects raters, such as bt500")
    plan.add_argument("--margin", type=float, help="margin of equivalence, in grades")
    plan.add_argument("--alpha", type=float, help="level of the tests")


def reading_options(p: argparse.ArgumentParser, title: str = "how to read the file") -> None:
    """How a file of ratings is to be read; without any of these that is inferred from its content."""
    how = p.add_argument_group(title)
    how.add_argument("--scale", type=int, nargs=2, metavar=("LOW", "HIGH"), help="lowest and highest grade; default: recognised")
    how.add_argument(
        "--map", action="append", default=[], metavar="ROLE=COLUMN,...", help="rater=WorkerId,score=Q3_1; score=Q3_* for several"
    )
    how.add_argument(
        "--labels", action="append", default=[], metavar="WORD=GRADE,...", help="grades of words, or a TOML file of them"
    )
    how.add_argument(
        "--missing", action="append", default=[], metavar="CELL,...", help="cells that stand for no answer, such as -1,99"
    )
    how.add_argument("--reverse", action="store_true", help="the lowest number is the best")
    how.add_argument(
        "--layout", help="qualtrics, mturk, p910, jspsych, webmushra, avrate, survey, pairs, long or wide; default: recognised"
    )
    how.add_argument("--sheet", help="which sheet of an .xlsx file")
    how.add_argument("--rating-type", help="which scale of an AVrate file that has several")
    how.add_argument("--pattern", help="regular expression with (?P<face>...) and (?P<condition>...) for stimulus names")
    # '-1,99' is a value, not an option: argparse knows that of '-1' alone.
    p._negative_number_matcher = re.compile(r"^-\d[\d.,-]*$|^-\.\d+$")


def _power(p: argparse.ArgumentParser) -> None:
    p.add_argument("--raters", type=int, nargs="+", default=[24, 40])
    p.add_argument("--images", type=int, nargs="+", default=[40, 100, 200])
    p.add_argument("--images-per-rater", type=int, help="each rater sees so many of them")
    p.add_argument("--difference", type=float, default=0.2, help="true difference of two MOS (default 0.2)")
    p.add_argument("--alpha", type=float, default=0.05, help="level of one comparison (default 0.05)")
    p.add_argument("--comparisons", type=int, default=1, help="divide alpha by so many (Bonferroni)")
    p.add_argument("--power", type=float, default=0.8, dest="target", help="chance to find it (default 0.8)")
    p.add_argument("--study", type=Path, help="take the variance components from this study's ratings")
    p.add_argument("--simulated", action="store_true", help="with --study: from its simulated raters")


def function_of(act: str) -> Any:
    """What carries out an act: ``act_NAME`` of its module, which is imported only now."""
    module = importlib.import_module(f"facesr.cli.{OTHERS.get(act, 'study_acts')}")
    return getattr(module, "act_" + act.replace("-", "_"))


def main(args: argparse.Namespace) -> int:
    """Run an act; its module is imported only now."""
    try:
        return int(function_of(args.act)(args))
    except Exception as error:  # a database may fail at any statement: one sentence, wherever it was
        if not (sentence := trouble(error)):
            raise
        raise FaceSRError(sentence) from None
