"""What a server needs to run a study, as files: containers with PostgreSQL, Caddy, a health check and nightly backups, or systemd and nginx."""

from __future__ import annotations

import re
import secrets
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from facesr import __version__
from facesr.bench.errors import FaceSRError
from facesr.bench.study.address import checked_url, only_here, remembered
from facesr.bench.study.backup import backup
from facesr.bench.study.database import private
from facesr.bench.study.study import Study

TEMPLATES = Path(__file__).parent / "deployment"
CONTAINERS = ("compose.yaml", "Dockerfile", "start.sh", "Caddyfile")
PLAIN = ("nginx.conf", "facesr-study.service", "facesr-backup.service", "facesr-backup.timer")
WHEELS = "A wheel of facesr-bench in this folder is installed before one from the package index; without one the index is asked.\n"


def deploy(study: Study, out: Path, *, url: str = "", home: str = "/srv/facesr") -> list[Path]:
    """Write the files for a server into the new folder ``out``; returns them.

    ``url``: the server's address, by default the one remembered; ``home``: the folder on the server for the way without containers.
    ``study.zip`` is a backup of the study as it is now, restored on trial; ``.env`` has new passwords; both are readable by their owner alone.
    """
    if out.exists():
        raise FaceSRError(f"{out} exists already: choose another --out")
    address = checked_url(url or remembered(study.path) or "")
    parts = urlsplit(address)
    if parts.path:
        raise FaceSRError(
            f"--url {address!r} has a path: a study is deployed under a host name of its own, such as https://study.example.org"
        )
    if not re.fullmatch(r"/[A-Za-z0-9_./-]*", home) or not re.fullmatch(r"[A-Za-z0-9_.-]+", study.path.resolve().name):
        raise FaceSRError(
            f"--home {home!r} and the study's folder {study.path.name!r} may have letters, digits, '.', '_' and '-' only"
        )
    words = {
        "VERSION": __version__,
        "HOME": home.rstrip("/"),
        "NAME": study.path.resolve().name,
        "HOST": parts.hostname or "",
        "SITE": address if parts.scheme == "http" or parts.port else parts.netloc,
    }
    words |= _nginx(parts.scheme, parts.hostname or "", parts.port)
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        (part / "wheels").mkdir(parents=True)
        (part / "wheels" / "README").write_text(WHEELS)
        for name in (*CONTAINERS, *PLAIN):
            upstream = "study:8501" if name == "Caddyfile" else "127.0.0.1:8501"
            (part / name).write_text(
                _filled((TEMPLATES / name).read_text(encoding="utf-8"), {**words, "UPSTREAM": upstream}), encoding="utf-8"
            )
        passwords = {name: secrets.token_urlsafe(18) for name in ("DATABASE_PASSWORD", "FACESR_ADMIN_PASSWORD")}
        private(part / ".env", "".join(f"{name}={value}\n" for name, value in passwords.items()))
        backup(study, part).rename(part / "study.zip")
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return sorted(f for f in out.rglob("*") if f.is_file())


def warning(url: str) -> str:
    """What keeps raters from using this address; '' where nothing does."""
    if only_here(url):
        return f"{url} is this machine only: nobody else reaches it"
    return f"{url} is not encrypted: raters' links could be read on the way; use https" if url.startswith("http:") else ""


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@([A-Z]+)@", lambda found: words[found[1]], text)


def _nginx(scheme: str, host: str, port: int | None) -> dict[str, str]:
    """The listening lines, and for https the server that sends people there."""
    if scheme == "http":
        return {"LISTEN": f"    listen {port or 80};", "REDIRECT": ""}
    folder = f"/etc/letsencrypt/live/{host}"
    listen = [
        f"listen {port or 443} ssl;",
        f"ssl_certificate     {folder}/fullchain.pem;",
        f"ssl_certificate_key {folder}/privkey.pem;",
    ]
    redirect = (
        f"server {{\n    listen 80;\n    server_name {host};\n    access_log off;\n    return 301 https://$host$request_uri;\n}}\n"
    )
    return {"LISTEN": "\n".join(f"    {line}" for line in listen), "REDIRECT": redirect}
