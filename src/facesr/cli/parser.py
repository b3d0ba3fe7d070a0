"""argparse whose errors are one sentence: what was wrong, what was meant, where the options are explained."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from facesr.bench.errors import shown, suggest


class Parser(argparse.ArgumentParser):
    """A parser that does not print all its options before what is wrong."""

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
