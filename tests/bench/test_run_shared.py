"""A store shared by many runs: nothing computed twice, nothing overwritten, wrong objects found; against a folder and an S3 server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from facesr.bench import protocol, registry
from facesr.bench.errors import FaceSRError
from facesr.bench.results import Run
from facesr.bench.run import make_plan, start
from helpers import TINY, faces

pytest.importorskip("obstore")
from facesr.bench.run.shared import Held, SharedStore

METHOD = '''
from pathlib import Path
from facesr.bench.imaging import resize
from facesr.bench.method import Method

class Counted(Method):
    """Bicubic that marks every face it computes."""
    def __init__(self, *, log, **more):
        super().__init__(**more)
        self.log = log
    def restore(self, lr, names=()):
        with (Path(self.log) / "faces").open("a") as file:
            file.write("\\n".join(dict.fromkeys(names)) + "\\n")
        return resize(lr, self.size, "bicubic-matlab")
'''


@pytest.fixture
def world(tmp_path: Path) -> Path:
    faces(tmp_path / "hr")
    (tmp_path / "log").mkdir()
    (tmp_path / "m.py").write_text(METHOD)
    return tmp_path


def _go(world: Path, out: str, store: SharedStore | None, count: int = 5) -> Run:
    specs = registry.method_specs([f"{world / 'm.py'}:Counted"], [f"counted.log={world / 'log'}"])
    known = protocol.parse(TINY, metrics=registry.installed("facesr.metrics"))
    return start(make_plan(known, specs, world / out, data=str(world / "hr"), limit=count), store=store)


def _computed(world: Path) -> int:
    log = world / "log/faces"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a local S3 server."""
    pytest.importorskip("moto")
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
    }
    for name, value in (environment | {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true"}).items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="bench")
    yield "s3://bench/answers"
    server.stop()


def _second_person_computes_nothing(world: Path, place: str) -> None:
    first = SharedStore(place)
    one = _go(world, "one", first)
    assert _computed(world) == 5
    assert (first.found, first.kept) == (0, 5 + 5 * 4)
    second = SharedStore(place)
    two = _go(world, "two", second)
    assert _computed(world) == 5
    assert (second.found, second.absent, second.kept) == (25, 0, 0)
    assert (world / "one/scores.parquet").read_bytes() == (world / "two/scores.parquet").read_bytes()
    for face in one.faces:
        assert one.sr_path("counted", face.name, 8).read_bytes() == two.sr_path("counted", face.name, 8).read_bytes()


def test_a_second_person_computes_nothing(world: Path) -> None:
    _second_person_computes_nothing(world, str(world / "store"))


def test_a_second_person_computes_nothing_s3(world: Path, s3: str) -> None:
    _second_person_computes_nothing(world, s3)


def test_only_what_is_new_is_computed(world: Path) -> None:
    _go(world, "few", SharedStore(str(world / "store")), 3)
    run = _go(world, "all", SharedStore(str(world / "store")))
    assert _computed(world) == 5
    assert (run.scores().status == "ok").all()


@pytest.mark.parametrize("spoil", ["flip", "cut", "swap", "noise", "empty"])
def test_wrong_objects_are_reported_and_computed_again(world: Path, spoil: str) -> None:
    place = world / "store"
    good = _go(world, "one", SharedStore(str(place))).scores()
    images = sorted(p for p in (place / "sr").rglob("*") if p.is_file())
    scores = sorted(p for p in (place / "score").rglob("*") if p.is_file())
    for kind in (images, scores):
        whole = kind[0].read_bytes()
        middle = len(whole) * 3 // 4
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        changed = {"flip": flipped, "cut": whole[:-3], "swap": kind[1].read_bytes(), "noise": b"\x00[", "empty": b""}[spoil]
        kind[0].write_bytes(changed)
    store = SharedStore(str(place))
    run = _go(world, "two", store)
    assert len(store.wrong) == 2
    assert _computed(world) == 6
    assert run.scores().equals(good)
    assert "2 objects of the cache are wrong" in " ".join(store.sentences)
    assert "are wrong" in (world / "two/run.log").read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    one, two = SharedStore(str(tmp_path)), SharedStore(str(tmp_path))
    one.put("sr", "ab12", Held({"status": "ok"}, b"first"))
    two.put("sr", "ab12", Held({"status": "ok"}, b"second"))
    assert (one.kept, two.kept) == (1, 0)
    held = two.get("sr", "ab12")
    assert held is not None
    assert held.data == b"first"
    assert two.get("sr", "ab13") is None


def test_s3_is_create_only_too(s3: str) -> None:
    one = SharedStore(s3)
    one.put("sr", "ab12", Held({}, b"first"))
    one.put("sr", "ab12", Held({}, b"second"))
    held = one.get("sr", "ab12")
    assert held is not None
    assert (held.data, one.kept, one.trouble) == (b"first", 1, "")


@pytest.mark.parametrize("place", ["ftp://x/y", "s3://key:secret@bucket/x", "http://x"])
def test_places_that_cannot_be(place: str) -> None:
    with pytest.raises(FaceSRError, match="--cache"):
        SharedStore(place)


def test_a_store_out_of_reach_is_one_sentence(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    environment = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}
    for name, value in (environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("facesr.bench.run.shared.RETRY", {"max_retries": 0})
    with pytest.raises(FaceSRError, match="cannot be read"):
        _go(world, "one", SharedStore("s3://bench/x"))
