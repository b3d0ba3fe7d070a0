"""What raters read: built-in words in ``texts/<language>.toml``, a study's own wording, and the texts that a design freezes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.reading import read_toml

FOLDER = Path(__file__).parent / "texts"
LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")
LONGEST = 20_000
PLACEHOLDER = re.compile(r"\{(\w+)\}")

AGREED = re.compile(r"consent|instructions|example_|question|grade_|left$|right$|upper$|lower$|tie$|attention")
"""Keys of what a rater agrees to and rates by. They are one wording in one language: never half a study's own, half built in."""

Texts = dict[str, dict[str, str]]
"""Language -> key -> words."""


@cache
def builtin(language: str) -> dict[str, str]:
    """The project's own words in a language; empty where there is no such file."""
    file = FOLDER / f"{language}.toml"
    return {k: str(v) for k, v in read_toml(file).items()} if file.is_file() else {}


def builtin_languages() -> list[str]:
    """Languages that the project brings."""
    return sorted(f.stem for f in FOLDER.glob("*.toml"))


def read_own(folder: Path) -> tuple[Texts, list[str]]:
    """A study's own texts, ``<language>.toml`` in ``folder``, and every problem with them."""
    if not folder.is_dir():
        return {}, [f"{folder} is not a folder of texts"]
    english = builtin("en")
    found: Texts = {}
    problems = []
    for file in sorted(folder.iterdir()):
        if file.suffix != ".toml" or not LOCALE.fullmatch(file.stem):
            problems.append(f"{file.name} is not named by a language, such as en.toml or pt-BR.toml")
            continue
        try:
            content = read_toml(file)
        except FaceSRError as error:
            problems.append(str(error))
            continue
        found[file.stem] = {k: v for k, v in content.items() if isinstance(v, str)}
        problems += [f"{file.name}: {p}" for key, value in content.items() if (p := _wrong(key, value, english))]
    return found, problems


def _wrong(key: str, value: object, english: Mapping[str, str]) -> str:
    """What is wrong with one text; '' where nothing is."""
    if key not in english and not re.fullmatch(r"grade_[0-9]", key):
        return f"{key!r} is no text of the page: {suggest(key, english)}"
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST:
        return f"{key!r} must be text in quotes, not empty and of at most {LONGEST:,} characters"
    known = set(PLACEHOLDER.findall(english.get(key, "")))
    if strange := [p for p in PLACEHOLDER.findall(value) if p not in known]:
        return f"{key!r} has {{{strange[0]}}}, which the page cannot fill in: {suggest(strange[0], known) if known else 'it takes none'}"
    return ""


def freeze(own_folder: Path | None, languages: Sequence[str] | None) -> Texts:
    """All texts of the languages offered, for the design. Raises one ``FaceSRError`` that lists every problem.

    ``languages``: those to offer; ``None`` offers each language that has the whole wording.
    """
    own, problems = read_own(own_folder) if own_folder else ({}, [])
    there = sorted({*builtin_languages(), *own})
    changed = sorted({key for words in own.values() for key in words if AGREED.match(key)})
    lacking = {language: _lacking(language, own, changed) for language in there}
    if languages is None:
        offered = [language for language in there if not lacking[language]]
        # a translation that is not finished is a mistake, a built-in language without the study's own wording is simply not offered
        problems += [_mixed(language, lacking[language]) for language in own if lacking[language]]
    else:
        offered = list(dict.fromkeys(languages))
        problems += [
            f"there are no texts in the language {name!r}: {suggest(name, there)}" for name in offered if name not in there
        ]
        problems += [_mixed(name, lacking[name]) for name in offered if lacking.get(name)]
    if not offered and not problems:
        problems.append("no language is left to offer: give at least one")
    if problems:
        raise FaceSRError("texts: " + "; ".join(problems))
    return {name: {**builtin("en"), **builtin(name), **own.get(name, {})} for name in sorted(offered)}


def _lacking(language: str, own: Texts, changed: Sequence[str]) -> list[str]:
    """Keys of the wording that a language would have to borrow from another one, or from the built-in wording."""
    mine = own.get(language, {})
    needed = {key for key in builtin("en") if AGREED.match(key)} if not builtin(language) else set()
    return sorted(key for key in {*changed, *needed} if key not in mine)


def _mixed(language: str, keys: Sequence[str]) -> str:
    some = ", ".join(keys[:4]) + (f" and {len(keys) - 4} more" if len(keys) > 4 else "")
    return (
        f"the wording in {language!r} lacks {some}, and a study's own wording is never mixed with built-in or English words: "
        f"add them to {language}.toml, or leave the language out with --languages"
    )


def words_digest(words: Mapping[str, str]) -> str:
    """sha256 of one language's texts: what a rater agreed to."""
    return hashlib.sha256(json.dumps(dict(words), sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def fitting(locale: str, there: Sequence[str]) -> str:
    """The language of ``there`` that fits ``locale`` best: itself, its main language, English, or the first one."""
    candidates = (locale, locale.split("-", maxsplit=1)[0], "en", *there)
    return next(c for c in candidates if c in there)
