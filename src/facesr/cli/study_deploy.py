"""Acts of ``facesr study`` about the server: its files, backups, and bringing a study back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import facesr
from facesr.bench.study.address import remember, remembered
from facesr.bench.study.backup import backup, restore
from facesr.bench.study.deploy import deploy, warning


def deploy_options(made: dict[str, argparse.ArgumentParser]) -> None:
    """Options of these acts."""
    made["deploy"].add_argument(
        "--out", type=Path, required=True, help="new folder for the server's files; it will hold the study's key"
    )
    made["deploy"].add_argument(
        "--url", default="", help="address of the server; default: the one that is remembered (create --url)"
    )
    made["deploy"].add_argument(
        "--home", default="/srv/facesr", help="folder on the server, for systemd and nginx; default /srv/facesr"
    )
    made["backup"].add_argument("--to", type=Path, required=True, metavar="FOLDER", help="where backups go")
    made["backup"].add_argument(
        "--keep", type=int, default=0, help="remove all but the newest N of this study's backups; default: none"
    )
    p = made["restore"]
    p.add_argument("backup", type=Path, help="file made by 'facesr study backup'")
    p.add_argument("--out", type=Path, required=True, help="new study folder")
    p.add_argument("--database", metavar="URL", help="an empty PostgreSQL database; default SQLite in the folder")


def act_deploy(args: argparse.Namespace) -> int:
    """Write the server's files."""
    study = facesr.Study.load(args.study, args.database).folder
    files = deploy(study, args.out, url=args.url, home=args.home)
    if args.url:
        remember(study.path, args.url)
    if said := warning(args.url or remembered(study.path)):
        print(f"facesr study deploy: {said}", file=sys.stderr)
    print(f"{args.out}: {', '.join(str(f.relative_to(args.out)) for f in files)}")
    print("copy the folder to the server, then there: docker compose up -d --build")
    print("links        docker compose exec study sh /start.sh invite /srv/facesr/study")
    print(f"watching     {args.url or remembered(study.path)}/ with the password in {args.out / '.env'}")
    return 0


def act_backup(args: argparse.Namespace) -> int:
    """Save the running study."""
    study = facesr.Study.load(args.study, args.database).folder
    file = backup(study, args.to, keep=args.keep)
    print(
        f"{file}: {file.stat().st_size / 1e6:.1f} MB, restored on trial; it holds the study's key, so keep it as you keep the study"
    )
    return 0


def act_restore(args: argparse.Namespace) -> int:
    """Bring a study back."""
    study = restore(args.backup, args.out, args.database)
    ratings = len(study.ratings(excluded=True))
    print(f"{args.out}: {study.name}, {ratings:,} ratings of people, digest {study.digest[:12]}")
    return 0
