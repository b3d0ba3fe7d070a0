"""Acts of ``facesr study`` about raters: invitations and links, pausing, replacing, leaving out, and taking that back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import facesr
from facesr.bench.errors import FaceSRError

if TYPE_CHECKING:
    from facesr.bench.study import Study
    from facesr.bench.study.invitations import Invitation


def people_options(made: dict[str, argparse.ArgumentParser]) -> None:
    """Options of these acts."""
    for act in ("link", "pause", "resume", "replace", "exclude", "delete-rater", "undo"):
        made[act].add_argument(
            "rater", help="the rater's name, such as r007" + (", or all" if act in {"pause", "resume", "undo"} else "")
        )
    for act in ("pause", "replace"):
        made[act].add_argument("--reason", default="", help="kept in the log")
    for act in ("invite", "link", "replace"):
        made[act].add_argument(
            "--url", help="address of the server, for these links; default: the one that is remembered (create --url)"
        )
    for act in ("pause", "replace", "exclude", "delete-rater"):
        made[act].add_argument("--yes", action="store_true", help="do it without asking")
    made["url"].add_argument("url", nargs="?", help="address to remember, such as https://study.example.org; default: print it")
    made["replace"].add_argument("--force", action="store_true", help="replace even a rater who has finished")
    made["exclude"].add_argument("--rule", required=True, help="the rule of the analysis plan")
    made["exclude"].add_argument("--reason", default="", help="what happened")
    p = made["invite"]
    p.add_argument("--count", type=int, help="how many; default: as many as the design still needs")
    p.add_argument(
        "--people", type=Path, metavar="CSV", help="a table of people, such as name,email: one rater per row, merged into --links"
    )
    p.add_argument("--links", type=Path, metavar="FILE.csv", help="write the links as a table for mail merge, for your eyes only")
    p.add_argument(
        "--qr", type=Path, metavar="FILE.pdf|FILE.svg", help="write a sheet of QR codes, one per link, for your eyes only"
    )


def act_url(args: argparse.Namespace) -> int:
    """Print or set the address."""
    from facesr.bench.study import address

    study = opened(args).folder
    if args.url:
        address.remember(study.path, args.url)
    print(address.remembered(study.path) or f"no address is remembered: facesr study url {study.path} https://study.example.org")
    return 0


def act_invite(args: argparse.Namespace) -> int:
    """Add raters; the links are shown this once."""
    from facesr.bench.study import invitations as made

    study = opened(args).folder
    for file in filter(None, (args.links, args.qr)):  # links are made once: where they go must be there first
        if file.exists() or not file.absolute().parent.is_dir():
            raise FaceSRError(
                f"{file} {'exists already' if file.exists() else 'is in a folder that is not there'}: choose another name"
            )
    if args.people and not args.links and not args.qr:
        raise FaceSRError("--people is merged into the table of links: say where that goes with --links FILE.csv")
    if args.people and args.count is not None:
        raise FaceSRError("--people and --count exclude each other: every row of the table is one rater")
    people = made.read_contacts(args.people) if args.people else []
    there, needed = made.still_needed(study)
    count = len(people) or (args.count if args.count is not None else needed)
    if not 1 <= count <= made.MOST_PEOPLE:
        raise FaceSRError(
            f"{there} raters are invited, as many as the design has: --count N invites more"
            if args.count is None
            else f"--count {args.count}: invite 1 to {made.MOST_PEOPLE:,} raters at once"
        )
    _show(args, study, made.invite_raters(study, count, _address(args, study), people))
    return 0


def _show(args: argparse.Namespace, study: Study, invited: list[Invitation]) -> None:
    """Links to files where files were named, else to the screen. Whatever fails, the links come out: they are made once."""
    from facesr.bench.study.invitations import write_links

    written = False
    try:
        if args.links:
            write_links(args.links, invited)
            written = True
        if args.qr:
            from facesr.reports.invitations import write_sheet

            write_sheet(args.qr, invited, study.name)
            written = True
    finally:
        if not written:
            print(*(f"{i.rater}\t{i.link}" for i in invited), sep="\n")
    if written:
        files = " and ".join(str(f) for f in (args.links, args.qr) if f)
        print(f"{len(invited)} raters are invited: {files} (readable by you alone; whoever has a link rates in its owner's name)")


def _address(args: argparse.Namespace, study: Study) -> str:
    """The address given, else the one remembered, else this machine, which is said."""
    from facesr.bench.study import address

    if args.url:
        return address.checked_url(args.url)
    if known := address.remembered(study.path):
        return known
    print(
        f"these links work on this machine only: 'facesr study url {study.path} https://...' remembers the server's address",
        file=sys.stderr,
    )
    return address.HERE


def act_link(args: argparse.Namespace) -> int:
    """A new link; the old one stops working."""
    from facesr.bench.study import address, store

    study = opened(args).folder
    base = _address(args, study)
    print(f"{args.rater}\t{address.link(base, store.fresh_link(study.engine, args.rater))}")
    return 0


def act_pause(args: argparse.Namespace) -> int:
    """Pause a rater, or all."""
    return _set(args, "paused", args.reason)


def act_resume(args: argparse.Namespace) -> int:
    """Let a rater go on, or all."""
    return _set(args, "active", "")


def _set(args: argparse.Namespace, status: str, reason: str) -> int:
    from facesr.bench.study import reading, store

    study = opened(args).folder
    names = [args.rater]
    everyone = args.rater == "all"
    if everyone:
        people = reading.raters(study)
        wanted = ["invited", "active"] if status == "paused" else ["paused"]
        names = list(people.loc[people["status"].isin(wanted), "name"])
    if status == "paused":
        asked(
            args, f"{_about(study, args.rater) if not everyone else f'all {len(names)} raters'} will see that the study is paused"
        )
    if everyone:
        store.set_joining(study.engine, paused=status == "paused", reason=reason)
    for name in names:
        store.set_status(study.engine, name, status, reason, everyone=everyone)
    print(f"{status}: {', '.join(names) or 'nobody'}" + (f" (facesr study undo {study.path} {args.rater})" * (status == "paused")))
    return 0


def act_replace(args: argparse.Namespace) -> int:
    """A new rater on the same row of the design."""
    from facesr.bench.study import address, store

    study = opened(args).folder
    base = _address(args, study)
    asked(args, f"{_about(study, args.rater)} loses the place to a new rater, and the ratings are left out")
    rater, token = store.replace(study.engine, args.rater, args.reason, force=args.force)
    print(f"{rater.name}\t{address.link(base, token)}")
    return 0


def act_exclude(args: argparse.Namespace) -> int:
    """Exclude from the analysis; the ratings stay."""
    from facesr.bench.study import imported, store

    study = opened(args).folder
    who = args.rater if study.imported else _about(study, args.rater)
    asked(args, f"{who} is left out of the analysis by the rule {args.rule!r}, which reports print")
    if study.imported:
        imported.exclude_imported(study.path, args.rater, args.rule, args.reason)
    else:
        store.exclude(study.engine, args.rater, args.rule, args.reason)
    print(
        f"{args.rater} is left out by the rule {args.rule!r}; the ratings stay in the study and in exports (facesr study undo takes it back)"
    )
    return 0


def act_undo(args: argparse.Namespace) -> int:
    """Take back the last pause, exclusion or replacement."""
    from facesr.bench.study.undo import undo

    print(undo(opened(args).folder, args.rater))
    return 0


def act_delete_rater(args: argparse.Namespace) -> int:
    """Delete for good."""
    from facesr.bench.study import store

    study = opened(args).folder
    asked(args, f"every rating and event of {_about(study, args.rater)} is removed for good, and nothing brings it back")
    print(f"{args.rater}: {store.delete_rater(study.engine, args.rater)} ratings and everything else removed")
    return 0


def _about(study: Study, name: str) -> str:
    """The rater with status and progress; a mistyped name is refused here, before anything is asked."""
    from facesr.bench.study import reading, store

    with study.engine.connect() as connection:
        store.find_rater(connection, name)
    row = reading.raters(study).set_index("name").loc[name]
    return f"{name} ({row['status']}, {row['done']:.0f} items answered)"


def asked(args: argparse.Namespace, what: str) -> None:
    """Go on only where it is meant: a yes on the terminal, or ``--yes``. Without a terminal nobody can be asked, so ``--yes`` is needed."""
    if args.yes:
        return
    if not sys.stdin.isatty():
        raise FaceSRError(f"{what}: repeat with --yes if that is meant")
    print(f"{what}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().casefold() not in {"y", "yes"}:
        raise FaceSRError("nothing was changed")


def opened(args: argparse.Namespace) -> facesr.Study:
    """The study that an act is about; imported ratings have no raters to act on, but for leaving one out."""
    study = facesr.Study.load(args.study, getattr(args, "database", None))
    if study.folder.imported and args.act not in {"exclude", "undo", "export", "check", "analyse"}:
        raise FaceSRError(f"{args.study} holds imported ratings: there is nobody to {args.act}")
    return study
