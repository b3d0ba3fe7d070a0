"""The rating page's words: English in ``texts/en.toml``; any other language, or a study's own wording, by one more text file."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from facesr.bench.errors import FaceSRError

FOLDER = Path(__file__).parent / "texts"
LOCALE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")


@cache
def read(file: Path) -> dict[str, str]:
    """The texts of one file; keys that English does not know are refused, so that a mistyped one is found."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FaceSRError(f"{file} cannot be read as TOML ({error})") from None
    known = content if file == FOLDER / "en.toml" else read(FOLDER / "en.toml")
    wrong = [k for k, v in content.items() if k not in known or not isinstance(v, str)]
    if wrong:
        raise FaceSRError(
            f"{file} has texts that the page does not show: {', '.join(wrong)}; the keys are those of {FOLDER / 'en.toml'}"
        )
    return {k: str(v) for k, v in content.items()}


def languages(own: Path | None = None) -> list[str]:
    """Languages there are: the project's, and those in a study's own ``texts`` folder."""
    folders = [FOLDER] + ([own] if own else [])
    found = {f.stem for folder in folders if folder.is_dir() for f in folder.glob("*.toml") if LOCALE.fullmatch(f.stem)}
    return sorted(found)


def texts(locale: str, own: Path | None = None) -> tuple[str, dict[str, str]]:
    """The language that fits ``locale`` best, and its texts; what a translation lacks is English."""
    there = languages(own)
    chosen = next((c for c in (locale, locale.split("-", maxsplit=1)[0]) if c in there), "en")
    merged = dict(read(FOLDER / "en.toml"))
    for file in (FOLDER / f"{chosen}.toml", *((own / "en.toml", own / f"{chosen}.toml") if own else ())):
        if file.is_file():
            merged |= read(file)
    return chosen, merged
