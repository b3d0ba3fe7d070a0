"""Where a study is reached from outside: the address that links, QR codes and the watching page use. It may change, so it is not frozen."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import write_whole
from facesr.bench.reading import read_text

FILE = "server.url"
HERE = "http://localhost:8501"
"""Where ``facesr study serve`` listens when nothing else is said."""


def checked_url(url: str) -> str:
    """The address without a slash at its end. Raises ``FaceSRError`` for what is no address of a server, or has a query, fragment or password."""
    text = url.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname)
        bare = not (parts.query or parts.fragment or "?" in text or "#" in text or "@" in parts.netloc)
    except ValueError:
        whole = bare = False
    if not (whole and bare) or re.search(r"[\s\x00-\x1f\x7f\"'<>\\{}^`|]", text):
        raise FaceSRError(
            f"--url {text[:80]!r} is no address of a server: write https://study.example.org, or with a path behind it"
        )
    return text.rstrip("/")


def host_of(url: str) -> str:
    """The host name in an address; '' for none."""
    return urlsplit(url).hostname or "" if url else ""


def only_here(url: str) -> bool:
    """Whether nobody on another machine can open this address."""
    host = host_of(url)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def remember(folder: Path, url: str) -> None:
    """Keep the address beside the design."""
    write_whole(folder / FILE, checked_url(url) + "\n")


def remembered(folder: Path) -> str:
    """The address kept, checked anew; '' where there is none."""
    file = folder / FILE
    try:
        return checked_url(read_text(file)) if file.exists() else ""
    except FaceSRError as error:
        raise FaceSRError(f"{file} is damaged ({error})") from None


def link(url: str, token: str) -> str:
    """A rater's personal link. The token stands behind '#': browsers never send that part, so it is in no server's or proxy's log."""
    return f"{url.rstrip('/')}/rate/#{token}"
