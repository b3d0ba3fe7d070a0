"""A store shared by many runs: nothing computed twice, nothing overwritten, wrong objects found; against a folder and an S3 server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from buckets import Bucket, serving
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
    known = protocol.parse_protocol(TINY, metrics=registry.installed("facesr.metrics"))
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


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Bucket]]:
    """A bucket of something that answers as Google's store does."""
    with serving() as (address, bucket):
        key = {"gcs_base_url": address, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
        yield "gs://lab/answers", bucket


@pytest.fixture
def az(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Bucket]]:
    """A container of something that answers as Azure's store does."""
    with serving() as (address, bucket):
        monkeypatch.setenv("AZURITE_BLOB_STORAGE_URL", address)
        monkeypatch.setenv("AZURE_STORAGE_USE_EMULATOR", "true")
        yield "az://lab/answers", bucket


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


@pytest.mark.parametrize(("kind", "only_new"), [("gs", "x-goog-if-generation-match"), ("az", "if-none-match")])
def test_a_second_person_computes_nothing_elsewhere(world: Path, kind: str, only_new: str, request: pytest.FixtureRequest) -> None:
    place, bucket = request.getfixturevalue(kind)
    _second_person_computes_nothing(world, place)
    assert len(bucket.objects) == 25
    assert all(only_new in asked for asked in bucket.asked)
    name = next(n for n in bucket.objects if "sr" in n)
    bucket.objects[name] = bucket.objects[name][:-1]
    store = SharedStore(place)
    _go(world, "three", store)
    assert _computed(world) == 6
    assert len(store.wrong) == 1
    assert len(bucket.objects[name]) > 0  # wrong objects stay: nothing here overwrites or deletes


def _facts(seconds: float = 1.0) -> dict[str, Any]:
    return {"status": "ok", "reason": "", "seconds": float(seconds)}


def test_two_writers_at_once(tmp_path: Path, s3: str) -> None:
    for place in (str(tmp_path), s3):
        stores = [SharedStore(place) for _ in range(4)]
        keys = [f"{i:02d}ab" for i in range(12)]

        def write(who: int, stores: list[SharedStore] = stores, keys: list[str] = keys) -> None:
            for key in keys:
                stores[who].put("sr", key, Held(_facts(who), bytes([who]) * 20_000))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write, range(4)))
        reader = SharedStore(place)
        for key in keys:
            held = reader.get("sr", key)
            assert held is not None  # whole: its sha256 is right
            assert held.data == bytes([int(held.facts["seconds"])]) * 20_000
        assert not reader.wrong
        assert sum(s.kept for s in stores) == len(keys)


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
    one.put("sr", "ab12", Held(_facts(), b"first"))
    two.put("sr", "ab12", Held(_facts(), b"second"))
    assert (one.kept, two.kept) == (1, 0)
    held = two.get("sr", "ab12")
    assert held is not None
    assert held.data == b"first"
    assert two.get("sr", "ab13") is None


def test_s3_is_create_only_too(s3: str) -> None:
    one = SharedStore(s3)
    one.put("sr", "ab12", Held(_facts(), b"first"))
    one.put("sr", "ab12", Held(_facts(), b"second"))
    held = one.get("sr", "ab12")
    assert held is not None
    assert (held.data, one.kept, one.trouble) == (b"first", 1, "")


@pytest.mark.parametrize("place", ["ftp://x/y", "s3://key:secret@bucket/x", "http://x", "az://lab/x?sig=secret"])
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


FORGED: tuple[dict[str, object], ...] = (
    {"status": "excellent"}, {"status": None}, {"status": "ok", "seconds": "fast"}, {"reason": ["x"]}, {"value": "1e9"}, {"value": None}, {"n": -5},
    {"value": float("inf"), "seconds": float("nan")}, {"extra": 1}, {},
)  # fmt: skip


def test_objects_forged_with_a_right_checksum_are_of_the_right_types_or_wrong(world: Path) -> None:
    """What a stranger with the key and the recipe can write: values of other types, images of other sizes. (A plausible lie cannot be told.)"""
    import json

    from facesr.bench.imaging.files import encode_png
    from facesr.bench.run.shared import _sha256
    from helpers import picture

    place = world / "store"
    good = _go(world, "one", SharedStore(str(place))).scores()
    objects = sorted(p for p in place.rglob("*") if p.is_file())
    for i, file in enumerate(objects):
        line, _, data = file.read_bytes().partition(b"\n")
        said = json.loads(line)
        change = FORGED[i % len(FORGED)]
        said["facts"] = {k: v for k, v in said["facts"].items() if change} | change
        if said["kind"] == "sr" and i % 2:
            said["facts"], data = json.loads(line)["facts"], (encode_png(picture(0, 32)), b"<svg>", b"")[i % 3]
        said["sha256"] = _sha256(said["facts"], data)
        file.write_bytes(json.dumps(said).encode() + b"\n" + data)
    store = SharedStore(str(place))
    again = _go(world, "two", store)
    same = ("image", "metric", "value", "status", "reason", "n")
    assert again.scores()[list(same)].equals(good[list(same)])
    assert len(store.wrong) >= 20
