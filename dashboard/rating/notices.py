"""Two pages for people who come without a personal link: the root address, and a link that leads nowhere. In the visitor's language."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Protocol

from starlette.requests import Request
from starlette.responses import HTMLResponse

from facesr.bench.study import Study

SHELL = """<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex"><title>{title}</title><link rel="icon" href="data:,"><style>
body{{font:1.05rem/1.6 system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:1rem;background:Canvas;color:CanvasText}}
main{{width:min(36rem,100%)}}h1{{font-size:1.5rem;line-height:1.25;margin:0 0 .8rem}}p{{margin:0 0 1rem}}a{{color:LinkText}}
.small{{font-size:.9rem;margin-top:2.5rem}}
</style></head><body><main>{content}</main></body></html>"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Pages(Protocol):
    """Makes a page for a visitor."""

    def __call__(self, request: Request) -> HTMLResponse:
        """The page."""
        ...


def locale(request: Request) -> str:
    """The language a visitor's browser asks for first."""
    found = re.match(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})?", request.headers.get("accept-language", ""))
    return found.group(0) if found else "en"


def _page(study: Study, request: Request, title: str, content: str, status: int) -> HTMLResponse:
    language, words = study.words(locale(request))
    text = SHELL.format(lang=html.escape(language), title=html.escape(words[title]), content=content)
    headers = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return HTMLResponse(text, status, headers)


def _told(study: Study, words: Mapping[str, str], title: str, text: str, more: str = "") -> str:
    whom = words["root_contact"].replace("{contact}", study.design.contact) if study.design.contact else ""
    contact = f'<p class="small">{html.escape(whom)}</p>' if whom else ""
    return f"<h1>{html.escape(words[title])}</h1><p>{html.escape(words[text])}</p>{more}{contact}"


def welcome(study: Study, request: Request) -> str:
    """HTML that says what a rater does who came without a link."""
    join = study.design.join
    language, words = study.words(locale(request))
    key = "root" if join == "invited" else "root_open" if join == "open" else "root_platform"
    start = f'<p><a href="rate/">{html.escape(words["root_start"])}</a></p>' if join == "open" else ""
    return f'<section lang="{html.escape(language)}">{_told(study, words, "root_title", key, start)}</section>'


def front_page(study: Study) -> Pages:
    """The page at the root address, where there are no pages for organisers."""
    return lambda request: _page(study, request, "root_title", welcome(study, request), 200)


def lost_page(study: Study) -> Pages:
    """The page for an address that is none."""
    return lambda request: _page(
        study, request, "lost_title", _told(study, study.words(locale(request))[1], "lost_title", "lost"), 404
    )
