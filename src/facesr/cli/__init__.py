"""The ``facesr`` command: one small module per command, imported only when it is called (``facesr --help`` takes .05 s of CPU)."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from facesr import __version__
from facesr.bench.errors import Busy, FaceSRError, shown, suggest
from facesr.cli import tone
from facesr.cli.parser import Parser

COMMANDS: dict[str, str] = {
    "run": "compare methods on a protocol's faces",
    "score": "score a folder of finished images",
    "merge": "put the shards of a run together",
    "watch": "follow a run in progress",
    "table": "print the table of a run: Markdown, LaTeX, CSV or HTML",
    "report": "write the HTML report and the paper folder of a run",
    "export": "write a run as a bundle to publish",
    "verify": "check somebody's run, and compute a sample of it again",
    "reproduce": "run a published bundle again and compare every cell",
    "site": "write a static leaderboard of many runs",
    "dashboard": "open the result views in a browser",
    "study": "design, serve, watch, export and analyse a MOS study",
    "check-claim": "what p-value published MOS figures can support",
    "protocols": "list and show protocols",
    "methods": "list methods",
    "metrics": "list metrics and their conventions",
    "data": "list, prepare and verify faces",
    "weights": "list, fetch, verify and find weight files",
    "new": "begin a method, metric or protocol of your own, with its test",
    "doctor": "what works on this machine, what is missing and how to get it",
    "completion": "print a shell's completion of these commands",
    "train": "train pSp, pix2pixHD, FSRNet or the 128-pixel generator from a recipe",
}
"""Each is ``facesr/cli/<name>.py`` ('-' becomes '_') with ``arguments(parser)`` and ``main(args) -> int``."""


EXIT = """exit status: 0 all done; 1 done, with findings: cells without a score (listed by cause), faults that a check found;
2 refused, with the reason, or not done; 3 busy (another facesr holds the folder); 130 stopped, the same command goes on"""


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listing = "\n".join(f"  {name:<{width}}  {what}" for name, what in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="facesr",
        usage="facesr COMMAND [options]",
        description="Compare face super-resolution methods, run MOS studies, print paper tables.",
        epilog=f"commands:\n{listing}\n\n'facesr COMMAND --help' explains a command.\n\n{EXIT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"facesr {__version__}")
    return parser


def _command(name: str, make: Callable[..., argparse.ArgumentParser], **options: Any) -> argparse.ArgumentParser:
    """A command's own parser, with the options that all share."""
    module = importlib.import_module(f"facesr.cli.{name.replace('-', '_')}")
    options |= {"description": module.__doc__, "epilog": EXIT, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = make(prog=f"facesr {name}", **options)
    module.arguments(parser)
    _common(parser, default=False)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):  # 'facesr data list -q' as well as 'facesr data -q list'
            for one in dict.fromkeys(action.choices.values()):
                _common(one, default=argparse.SUPPRESS)
    return parser


def _common(parser: argparse.ArgumentParser, default: bool | str) -> None:
    """The options that all commands share."""
    group = parser.add_argument_group("what is printed")
    quiet, loud = "no progress and no hints, results and errors only", "where a command stops with an error, the traceback too"
    group.add_argument("-q", "--quiet", action="store_true", default=default, help=quiet)
    group.add_argument("-v", "--verbose", action="store_true", default=default, help=loud)


def whole_parser() -> argparse.ArgumentParser:
    """All commands under one parser, as shell completion wants them; imports every command's module."""
    top = _parser()
    commands = top.add_subparsers(dest="command")
    for name, what in COMMANDS.items():
        _command(name, partial(commands.add_parser, name), help=what)
    return top


NETWORKS = ("run", "score", "merge", "train", "verify", "reproduce")
"""Commands that run networks."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status, see ``EXIT``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that is not UTF-8 must not end a command
    arguments = list(sys.argv[1:] if argv is None else argv)
    top = _parser()
    if not arguments or arguments[0].startswith("-"):
        top.parse_args(arguments or ["--help"])
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"facesr: no command {name!r}: {suggest(name, COMMANDS)}", file=sys.stderr)
        return 2
    if name in NETWORKS:
        importlib.import_module("facesr.bench.memory").keep_memory()
    module = importlib.import_module(f"facesr.cli.{name.replace('-', '_')}")
    parser = _command(name, Parser)
    args = parser.parse_args(rest)
    tone.quiet, tone.verbose = args.quiet, args.verbose
    try:
        return int(module.main(args))
    except FaceSRError as error:
        if tone.verbose:
            traceback.print_exc()
        print(f"facesr {name}: {shown(str(error))}", file=sys.stderr)
        if isinstance(error, Busy):
            return 3
        return 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a disk that is full, a folder that may not be written: not a fault of the program
        if tone.verbose:
            traceback.print_exc()
        place = f"{error.filename}: " if error.filename else ""
        print(f"facesr {name}: {shown(f'{place}{error.strerror or error}')}; what was finished before is kept", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"facesr {name}: interrupted; what was finished is kept, the same command goes on", file=sys.stderr)
        return 130
