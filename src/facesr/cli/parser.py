"""argparse whose errors are one sentence: what was wrong, what was meant, where the options are explained."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from facesr.bench.errors import shown, suggest


class _Once(argparse._StoreAction):
    """Stores an option's value; a second, other one is refused, since the first would do nothing."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        assert isinstance(parser, Parser)
        if option and parser.given.setdefault(self.dest, values) != values:
            raise argparse.ArgumentError(
                None, f"{option} is given twice, as {parser.given[self.dest]} and as {values}: give it once"
            )
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """A parser that does not print all its options before what is wrong, and takes each option once unless it may be repeated."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.given: dict[str, Any] = {}
        super().__init__(*args, **options)
        for name in (None, "store"):
            self.register("action", name, _Once)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does; what was given before counts no longer."""
        self.given = {}
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one sentence; exit status 2."""
        said = shown(self._plain(message))
        self.exit(2, f"{self.prog}: {said}{'' if said.endswith('?') else ';'} '{self.prog} --help' explains\n")

    def _plain(self, message: str) -> str:
        if found := re.match(r"argument (?P<name>[^:]*): invalid choice: '(?P<value>.*?)' \(choose from (?P<known>.*)\)$", message):
            known = [word.strip(" '") for word in found["known"].split(",")]
            return f"{found['name']} {found['value']}: {suggest(found['value'], known)}"
        if found := re.match(r"argument (?P<name>[^:]*): invalid (?P<kind>\w+) value: '(?P<value>.*)'$", message):
            kind = {"int": "a whole number", "float": "a number"}.get(found["kind"], f"a {found['kind']}")
            return f"{found['name']} {found['value']}: give {kind}"
        if found := re.match(r"unrecognized arguments: (?P<given>.*)$", message):
            return f"{found['given']}: {self._meant(found['given'].split()[0])}"
        if found := re.match(r"the following arguments are required: (?P<names>.*)$", message):
            return f"{found['names']} {'are' if ',' in found['names'] else 'is'} missing"
        return message

    def _meant(self, word: str) -> str:
        options = [option for option in self._option_string_actions if option.startswith("--")]
        name = word.partition("=")[0]
        return f"no such option: {suggest(name, options)}" if word.startswith("-") else "one word too many"
