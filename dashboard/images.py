"""Pictures go out byte for byte, from their own route: ``st.image`` would encode them anew.

``img/face?run=..&kind=sr&method=psp&scale=8&face=000123`` serves the file that was scored; ``img/figure/<hash>.svg`` a drawing.
Addresses are relative, so they work behind a proxy's path. Nothing but files of the runs in ``FACESR_RUNS`` is ever read.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import encode_png, read_lr, read_rgb, rounded
from facesr.bench.numbers import whole
from facesr.bench.results import Run
from facesr.dashboard.memo import memo
from facesr.dashboard.sources import named_folders, open_run, run_folders, run_key, stamp
from facesr.reports import maps

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

PREFIX = "img"
PNG = b"\x89PNG\r\n\x1a\n"
KINDS = ("lr", "sr", "hr", "difference", "residual", "nullspace")
HEADERS = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
_figures: OrderedDict[str, bytes] = OrderedDict()
_lock = threading.Lock()


def figure_url(svg: str) -> str:
    """Keep a drawing for a while and give its address."""
    content = svg.encode()
    name = hashlib.sha256(content).hexdigest()[:24]
    with _lock:
        _figures[name] = content
        _figures.move_to_end(name)
        while len(_figures) > 1024:
            _figures.popitem(last=False)
    return f"{PREFIX}/figure/{name}.svg"


def face_url(run: Run, kind: str, face: str, scale: float, method: str = "") -> str:
    """The address of a face's picture; ``method`` is the label in that run."""
    asked = {"run": run_key(run.path), "kind": kind, "face": face, "scale": scale, "v": version(run)}
    return f"{PREFIX}/face?{urlencode({**asked, **({'method': method} if method else {})})}"


def version(run: Run) -> str:
    """Changes with the run's files, so that a browser may keep pictures for good."""
    made = stamp(run.path)
    return memo.get(("version", made), lambda: hashlib.sha256(repr(made).encode()).hexdigest()[:10])


def routes(base: str = "") -> list[BaseRoute]:
    """The two routes, under a proxy's path where there is one."""
    from starlette.routing import Route

    at = f"/{base.strip('/')}/{PREFIX}" if base.strip("/") else f"/{PREFIX}"
    return [Route(f"{at}/face", _face, methods=["GET"]), Route(f"{at}/figure/{{name}}.svg", _figure, methods=["GET"])]


def _reply(request: Request, content: bytes, kind: str) -> Response:
    from starlette.responses import Response

    tag = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = {
        **HEADERS,
        "ETag": tag,
        "Cache-Control": "private, max-age=604800" if request.url.query or kind != "image/png" else "no-cache",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def _sorry(sentence: str) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(sentence, 404, headers=HEADERS)


def _figure(request: Request) -> Response:
    with _lock:
        content = _figures.get(request.path_params["name"])
    return (
        _sorry("This figure is no longer kept: load its page again.")
        if content is None
        else _reply(request, content, "image/svg+xml")
    )


def _face(request: Request) -> Response:
    asked = request.query_params
    try:
        run = find_run(asked.get("run", ""))
        scale = whole(float(asked.get("scale", "0")))
        content = face_png(run, asked.get("kind", ""), asked.get("face", ""), scale, asked.get("method", ""))
    except (FaceSRError, ValueError, OSError):
        return _sorry("There is no such image in the runs shown.")
    return _reply(request, content, "image/png")


def find_run(key: str) -> Run:
    """The run with this key among those shown."""
    for path in run_folders(named_folders("FACESR_RUNS")):
        if run_key(path) == key:
            return open_run(path)
    raise FaceSRError(f"no run {key!r} is shown")


def face_png(run: Run, kind: str, face: str, scale: float, method: str) -> bytes:
    """PNG bytes of one picture; names must be the run's own, so that no other file can be asked for.

    ``lr``, ``sr`` and ``hr`` are the files as they are on disk (other formats than PNG: their pixels); ``difference`` is |SR − HR|,
    ``residual`` D(SR) − LR, ``nullspace`` what of SR (without a method: of HR) LR cannot say (``facesr.reports.maps``).
    """
    files = memo.get(("files", run.path, stamp(run.path)[:1]), lambda: {f.name for f in run.faces})
    if face not in files or scale not in run.scales or kind not in KINDS or (method and method not in run.methods):
        raise FaceSRError(f"no {kind} image of {face!r} by {method!r} at factor {scale}")
    if kind in ("sr", "difference", "residual") and not method:
        raise FaceSRError(f"a {kind} image is a method's: name it")
    places: dict[str, Callable[[], Path]] = {
        "lr": lambda: run.as_measured(run.lr_path(face, scale)),
        "sr": lambda: run.as_measured(run.sr_path(method, face, scale)),
        "hr": lambda: run.hr_path(face),
    }
    if kind == "difference":
        return encode_png(maps.difference_map(read_rgb(places["sr"]()), read_rgb(places["hr"]())))
    if kind == "residual":
        return encode_png(
            maps.residual_map(read_rgb(places["sr"]()), read_lr(places["lr"]()), str(run.protocol["degradation"]["kernel"]))
        )
    if kind == "nullspace":
        image, side = read_rgb(places["sr" if method else "hr"]()), read_lr(places["lr"]()).shape[0]
        return encode_png(maps.null_space_map(image, side, str(run.protocol["degradation"]["kernel"])))
    file = places[kind]()
    content = file.read_bytes()
    return content if content.startswith(PNG) else encode_png(rounded(read_lr(file)))
