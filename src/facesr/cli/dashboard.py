"""Open the result views in a browser: leaderboard, faces, comparisons, MOS, provenance.

facesr dashboard runs/demo                       one run
facesr dashboard runs/                           every run in a folder; different digests never meet
facesr dashboard runs/paper --study studies/mos  with the study's MOS
facesr dashboard runs/paper --url https://lab.example/facesr   behind a proxy, under a path

It listens on this machine only, unless --host says otherwise, and sends nothing anywhere.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

from facesr.bench.errors import FaceSRError
from facesr.dashboard.host import dashboard_app, serve_on
from facesr.dashboard.hosts import KnownHosts


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders, or folders of runs")
    parser.add_argument("--study", type=Path, action="append", default=[], help="a MOS study to show; may be repeated")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    parser.add_argument("--port", type=int, default=8501, help="default: %(default)s; 0 takes a free one")
    parser.add_argument(
        "--url", default="", help="the address that readers use, where a proxy stands before this server; may have a path"
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def main(args: argparse.Namespace) -> int:
    """Serve until stopped."""
    _check(args)
    base = urlsplit(args.url).path.strip("/") if args.url else ""
    listener = _listen(args.host, args.port)
    port = int(listener.getsockname()[1])
    _environment(args)
    where = args.url or f"http://{'localhost' if args.host in {'127.0.0.1', '::1', 'localhost'} else args.host}:{port}"
    print(f"results  {where.rstrip('/')}/", flush=True)
    if args.host not in {"127.0.0.1", "localhost", "::1"}:
        print(
            f"{args.host} is open to the network: whoever reaches it sees these faces, for there is no login here", file=sys.stderr
        )
    if not args.no_browser and not args.url and sys.stdout.isatty():
        import threading
        import webbrowser

        threading.Timer(1.0, webbrowser.open, (where,)).start()
    public = urlsplit(args.url).hostname or ""
    serve_on(KnownHosts(dashboard_app(base, public, port), [public, args.host]), listener)
    return 0


def _check(args: argparse.Namespace) -> None:
    """All problems of the request together."""
    problems = [f"{path} does not exist" for path in [*args.runs, *args.study] if not path.exists()]
    problems += [
        f"{path} is not a study: it has no study.json"
        for path in args.study
        if path.exists() and not (path / "study.json").is_file()
    ]
    if not args.runs and not args.study:
        problems.append("nothing to show: name a run, as in facesr dashboard runs/demo")
    if not 0 <= args.port <= 65535:
        problems.append(f"--port {args.port}: use 1 to 65535, or 0 for a free one")
    if args.url and (urlsplit(args.url).scheme not in {"http", "https"} or not urlsplit(args.url).hostname):
        problems.append(f"--url {args.url!r}: write it in full, as in https://lab.example/facesr")
    if problems:
        raise FaceSRError("; ".join(problems))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:
        listener.close()
        raise FaceSRError(
            f"cannot listen on {host}, port {port} ({getattr(error, 'strerror', None) or error}): choose another --port"
        ) from None
    return listener


def _environment(args: argparse.Namespace) -> None:
    """What the pages are to show; they learn it from the environment."""
    studies = [p for p in args.runs if (p / "study.json").is_file()]
    runs = [p for p in args.runs if p not in studies]
    os.environ["FACESR_DASHBOARD"] = "1"
    os.environ["FACESR_RUNS"] = os.pathsep.join(str(p.resolve()) for p in runs)
    os.environ["FACESR_STUDIES"] = os.pathsep.join(str(p.resolve()) for p in dict.fromkeys([*studies, *args.study]))
