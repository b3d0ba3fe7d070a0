"""Print what makes a shell complete facesr's commands and options.

eval "$(facesr completion bash)"                            this shell; add the line to ~/.bashrc to keep it
facesr completion zsh > "${fpath[1]}/_facesr"               zsh
facesr completion tcsh > ~/.facesr.completion.csh           tcsh: source it in ~/.tcshrc
"""

from __future__ import annotations

import argparse

from facesr.bench.errors import FaceSRError
from facesr.cli import whole_parser

SHELLS = ("bash", "zsh", "tcsh")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the shell."""
    parser.add_argument("shell", choices=SHELLS)


def main(args: argparse.Namespace) -> int:
    """Print the script; it is made from the commands' own parsers, so it cannot miss an option."""
    try:
        import shtab
    except ImportError:
        raise FaceSRError("completion needs the package shtab: pip install shtab") from None
    print(shtab.complete(whole_parser(), args.shell))
    return 0
