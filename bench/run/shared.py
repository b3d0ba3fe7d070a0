"""A store of SR images and scores that many runs and people share: by content key, written once, checked on reading.

Objects are named ``sr/<key>`` and ``score/<key>``: a line of JSON (what it is, sha256, facts), then the bytes. Nothing is ever overwritten, so
two writers cannot harm each other; an object that is not what its line says is reported and what it stands for is computed again.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from facesr.bench.config import Natural, from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.reading import parse_json
from facesr.bench.results.status import Status

T = TypeVar("T")
SCHEMES = ("s3", "gs", "az")
VERSION = 1
THREADS = 16
RETRY: Any = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
"""Of a request to a store that does not answer; then the run ends with one sentence and goes on when it is called again."""


@dataclass(frozen=True)
class Held:
    """An object of the store: facts (plain values) and bytes."""

    facts: Mapping[str, Any]
    data: bytes = b""


@dataclass
class SharedStore:
    """``place``: ``s3://bucket/prefix``, ``gs://``, ``az://`` or a folder. Credentials come from the environment only.

    ``found``, ``absent`` and ``kept`` count objects; ``wrong`` names those that are not what they say.
    """

    place: str
    found: int = 0
    absent: int = 0
    kept: int = 0
    wrong: list[str] = field(default_factory=list)
    trouble: str = ""
    """Why nothing can be written (a store that may only be read), or ''."""

    def __post_init__(self) -> None:
        try:
            from obstore.store import LocalStore, from_url
        except ImportError:
            raise FaceSRError(f"--cache {self.place} needs obstore: pip install 'facesr-bench[store]'") from None
        parts = urlsplit(self.place)
        if parts.username or parts.password or ("://" in self.place and (parts.query or parts.fragment)):
            raise FaceSRError("--cache holds credentials: take them out of the address, they come from the environment")
        if "://" in self.place and parts.scheme not in SCHEMES:
            raise FaceSRError(f"--cache {self.place}: give a folder, s3://, gs:// or az://")
        try:
            if "://" in self.place:
                self._store: Any = from_url(self.place, retry_config=RETRY)
            else:
                self._store = LocalStore(Path(self.place).expanduser().absolute(), mkdir=True)
        except Exception as error:  # the library's errors have no common base
            raise FaceSRError(f"--cache {self.place}: cannot be opened ({_first_line(error)})") from None

    def get(self, kind: str, key: str) -> Held | None:
        """The object of a key, or None where there is none or it is wrong."""
        import obstore

        try:
            whole = bytes(obstore.get(self._store, f"{kind}/{key[:2]}/{key}").bytes())
        except FileNotFoundError:
            self.absent += 1
            return None
        except Exception as error:  # as above
            raise FaceSRError(f"--cache {self.place}: cannot be read ({_first_line(error)})") from None
        held = _opened(kind, key, whole)
        if held is None:
            self.wrong.append(f"{kind}/{key[:2]}/{key}")
            return None
        self.found += 1
        return held

    def put(self, kind: str, key: str, held: Held) -> None:
        """Write an object unless there is one of that key."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        if self.trouble:
            return
        facts = dict(held.facts)
        line = json.dumps({"facesr": VERSION, "kind": kind, "key": key, "sha256": _sha256(facts, held.data), "facts": facts})
        try:
            obstore.put(self._store, f"{kind}/{key[:2]}/{key}", line.encode() + b"\n" + held.data, mode="create")
            self.kept += 1
        except (AlreadyExistsError, FileExistsError):
            return
        except Exception as error:  # as above; a run must not fail because its answers cannot be shared
            self.trouble = f"--cache {self.place} cannot be written ({_first_line(error)}): what is computed here is not shared"

    def all(self, call: Callable[..., T], arguments: Iterable[tuple[Any, ...]]) -> list[T]:
        """``get`` or ``put`` many at once; results in order."""
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda given: call(*given), arguments))

    @property
    def sentences(self) -> list[str]:
        """What there is to say of it after a run."""
        said = [f"cache {self.place}: {self.found:,} answers found, {self.absent:,} not there, {self.kept:,} added"]
        if self.wrong:
            said.append(
                f"{len(self.wrong):,} objects of the cache are wrong and were computed again: delete them, such as {self.wrong[0]}"
            )
        return said + ([self.trouble] if self.trouble else [])


@dataclass(frozen=True)
class _Image:
    """Facts of an SR image."""

    status: Literal[Status.OK, Status.NOT_CONVERGED]
    reason: str
    seconds: float | None = None  # objects of earlier versions have it


@dataclass(frozen=True)
class _Score:
    """Facts of a score."""

    value: float | None
    status: Status
    reason: str
    low: float | None
    high: float | None
    n: Natural


def _checked(kind: str, facts: Mapping[str, Any]) -> None:
    """Raise ``FaceSRError`` where facts are not of the kind's types: somebody else may have written them."""
    from_table(_Image if kind == "sr" else _Score, facts, "object")
    if any(isinstance(v, float) and not math.isfinite(v) for v in facts.values()):
        raise FaceSRError("object: a number is not finite")
    if (
        kind == "score"
        and (facts["status"] == Status.OK) != (facts["value"] is not None)
        and facts["status"] != Status.NOT_CONVERGED
    ):
        raise FaceSRError("object: a status that does not go with its value")


def _opened(kind: str, key: str, whole: bytes) -> Held | None:
    line, _, data = whole.partition(b"\n")
    try:
        said = parse_json(line.decode(), "object")
        facts = dict(said["facts"])
        _checked(kind, facts)
        good = (said["facesr"], said["kind"], said["key"]) == (VERSION, kind, key) and said["sha256"] == _sha256(facts, data)
    except (FaceSRError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Held(facts, data) if good else None


def _sha256(facts: Mapping[str, Any], data: bytes) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode() + b"\n" + data).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
