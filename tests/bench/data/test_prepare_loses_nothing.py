"""Everything that was in a source is in the manifest: used, or rejected with a reason; and no two faces share a file."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from facesr.bench.data import manifest
from facesr.bench.data.dataset import UNREADABLE, from_folder
from facesr.bench.data.landmarks import LandmarkFile, implausible
from facesr.bench.data.names import unique_names
from facesr.bench.data.prepare import Request, prepare_data
from facesr.bench.data.verify import verify_data
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import encode_png, read_rgb, write_png
from helpers import faces, picture


def _png(seed: int) -> bytes:
    return encode_png(picture(seed, 64))


def _made(source: Path, **more: object) -> manifest.Manifest:
    made = prepare_data(Request("mine", source, size=32, out=source.parent / "out", **more))  # type: ignore[arg-type]
    files = {row.file for row in made.faces}
    assert len(files) == len(made.faces) == len(list((source.parent / "out/images").glob("*.png")))
    assert verify_data(source.parent / "out").clean
    assert manifest.read_manifest(source.parent / "out") == made
    return made


def test_equal_stems_stay_apart(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    (source / "deep").mkdir(parents=True)
    Image.fromarray(picture(1)).save(source / "1.jpg", quality=95)
    write_png(source / "1.png", picture(2))
    write_png(source / "deep/1.png", picture(3))
    write_png(source / "two.png", picture(4))
    made = _made(source)
    assert {r.source: r.name for r in made.faces} == {
        "1.jpg": "1-jpg", "1.png": "1-png", "deep/1.png": "deep-1", "two.png": "two",
    }  # fmt: skip


def test_shards_with_equal_names_stay_apart(tmp_path: Path) -> None:
    source = tmp_path / "hf"
    source.mkdir()
    for k, part in enumerate(("train", "test")):
        cells = [{"bytes": _png(2 * k + i), "path": f"{i}.png"} for i in range(2)]
        pq.write_table(pa.table({"image": cells}), source / f"{part}-00000-of-00001.parquet")
    assert len(_made(source).faces) == 4


def test_a_folder_of_everything(tmp_path: Path) -> None:
    source, other = tmp_path / "photos", tmp_path / "elsewhere"
    source.mkdir()
    other.mkdir()
    write_png(source / "a.png", picture(1))
    Image.fromarray(picture(2)).save(source / "c.jfif", "JPEG", quality=95)
    write_png(other / "d.png", picture(3))
    (source / "linked").symlink_to(other)
    (source / "again").symlink_to(other)
    (source / "loop").symlink_to(source)
    (source / "self").symlink_to(source / "self")
    (source / "gone.png").symlink_to(source / "nothing.png")
    os.mkfifo(source / "pipe.png")
    (source / "zero.png").symlink_to("/dev/zero")
    (source / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (source / "old.gif").write_bytes(b"GIF89a")
    (source / "readme.txt").write_text("x")
    (source / ".DS_Store").write_text("x")
    (source / "more.tar.gz").write_bytes(b"x")
    (source / "broken.zip").write_bytes(b"x")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep.png", _png(5))
    with zipfile.ZipFile(source / "more.zip", "w") as archive:
        archive.writestr("e.png", _png(4))
        archive.writestr("__MACOSX/._e.png", b"x")
        archive.writestr("inner.zip", inner.getvalue())
        archive.writestr("notes.txt", "x")
    made = _made(source)
    assert {r.source for r in made.faces} == {"a.png", "c.jfif", "again/d.png", "more.zip/e.png", "more.zip/inner.zip/deep.png"}
    reasons = {r.source: r.reason for r in made.rejected}
    for name, says in {
        "linked": "the same folder as again", "loop": "the same folder as the source itself", "self": "symbolic links",
        "gone.png": "No such file", "pipe.png": "a pipe", "zero.png": "a device", "IMG_1.HEIC": "HEIC", "old.gif": "GIF is not read",
        "readme.txt": "not an image", ".DS_Store": "hidden", "more.tar.gz": "unpack it first", "broken.zip": "not a readable zip",
        "more.zip/__MACOSX/._e.png": "hidden", "more.zip/notes.txt": "not an image",
    }.items():  # fmt: skip
        assert says in reasons.pop(name)
    assert not reasons
    assert made.total == {"all": 10}  # five faces, and five things that are called images and are none


def test_backslashes_and_doubles_in_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "win.zip", "w") as archive:
        for seed in range(2):
            info = zipfile.ZipInfo("x")
            info.filename = "faces\\1.png"  # as some Windows programs write it
            with pytest.warns(UserWarning, match="Duplicate") if seed else io.StringIO():
                archive.writestr(info, _png(seed))
    made = _made(tmp_path / "win.zip")
    assert [r.source for r in made.faces] == ["faces/1.png", "faces/1.png"]
    assert len({r.name for r in made.faces}) == 2
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = "faces\\1.png"
        archive.writestr(info, _png(3))
    assert [r.file for r in prepare_data(Request("b", tmp_path / "one.zip", size=32, out=tmp_path / "b")).faces] == ["images/1.png"]


def test_of_several_image_columns_one_must_be_named(tmp_path: Path) -> None:
    table = pa.table({
        "lr": [{"bytes": _png(i), "path": f"{i}.png"} for i in range(2)],
        "embedding": [b"\1\2\3\4", b"\5\6\7\x08"],
        "hr": [{"bytes": _png(10 + i), "path": f"{i}.png"} for i in range(2)],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(FaceSRError, match=r"several image columns \(lr, hr\): name one with --column"):
        prepare_data(Request("mine", tmp_path / "a.parquet", size=32, out=tmp_path / "out"))
    with pytest.raises(FaceSRError, match="no image column 'hrr': did you mean 'hr'"):
        prepare_data(Request("mine", tmp_path / "a.parquet", size=32, out=tmp_path / "out", column="hrr"))
    _made(tmp_path / "a.parquet", column="hr")
    assert np.array_equal(
        read_rgb(tmp_path / "out/images/0.png"), np.floor(picture(10, 64).reshape(32, 2, 32, 2, 3).mean((1, 3)) + 0.5)
    )
    pq.write_table(table.drop(["lr"]), tmp_path / "b.parquet")  # bytes that are no image are no choice
    assert len(prepare_data(Request("mine", tmp_path / "b.parquet", size=32, out=tmp_path / "b")).faces) == 2


def test_rows_without_bytes_are_listed(tmp_path: Path) -> None:
    cells = [{"bytes": _png(1), "path": None}, {"bytes": None, "path": "away.png"}]
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet")
    made = _made(tmp_path / "a.parquet")
    assert [r.source for r in made.faces] == ["row-1"]
    assert [(r.source, r.reason) for r in made.rejected] == [("away.png", "its row holds no image bytes")]


def test_a_damaged_image_does_not_move_the_names_of_those_after_it(tmp_path: Path) -> None:
    """Names belong to paths: member 1 of five is damaged, encrypted, without bytes, or the end of its shard."""
    source = tmp_path / "source"
    source.mkdir()
    with zipfile.ZipFile(source / "a.zip", "w") as archive:
        for i in range(5):
            archive.writestr(f"{i}.png", _png(i))
    packed = bytearray((source / "a.zip").read_bytes())
    packed[packed.find(b"1.png") + 60] ^= 8
    packed[packed.find(b"PK\1\2") + 8] |= 1
    (source / "a.zip").write_bytes(packed)
    cells = [{"bytes": None, "path": "5.png"}, {"bytes": _png(6), "path": "6.png"}, {"bytes": b"", "path": "7.png"}]
    pq.write_table(pa.table({"image": [*cells, {"bytes": _png(8), "path": "8.png"}]}), source / "b.parquet")
    lost = [{"bytes": _png(i), "path": f"{i}.png"} for i in range(20, 44)]
    pq.write_table(pa.table({"image": lost}), source / "c.parquet", compression="none", use_dictionary=False, row_group_size=8)
    shard = bytearray((source / "c.parquet").read_bytes())
    at = shard.find(_png(28)) - 24  # in the head of the second group's page
    shard[at : at + 12] = b"\xff" * 12
    (source / "c.parquet").write_bytes(shard)
    write_png(source / "z.png", picture(9, 64))
    made = _made(source)
    kept = {r.name: read_rgb(tmp_path / "out" / r.file) for r in made.faces}
    small = {str(i): np.floor(picture(i, 64).reshape(32, 2, 32, 2, 3).mean((1, 3)) + 0.5) for i in (2, 3, 4, 6, 8, *range(20, 28))}
    small["z"] = np.floor(picture(9, 64).reshape(32, 2, 32, 2, 3).mean((1, 3)) + 0.5)
    assert kept.keys() == small.keys()
    assert all(np.array_equal(kept[name], image) for name, image in small.items())
    away = {r.source: r.reason for r in made.rejected}
    assert away.keys() == {"a.zip/0.png", "a.zip/1.png", "b.parquet/5.png", "b.parquet/7.png", "c.parquet"} | {
        f"c.parquet/{i}.png" for i in range(28, 44)
    }
    assert away["c.parquet/40.png"] == "cannot be read: its archive or shard is damaged before it"


@pytest.mark.parametrize(
    ("sources", "names"),
    [
        (["a.png", "b/c.jpg"], ["a", "c"]),
        (["a/x.png", "b/x.png"], ["a-x", "b-x"]),
        (["a/x.png", "b/x.png", "a-x.png"], ["a-x-png", "b-x", "a-x-png-2"]),
        (["É.png", "E\u0301.png"], ["É-png", "É-png-2"]),
        (["A.png", "a.png"], ["A-png", "a-png-2"]),
        (["*.png", "\x1b[31m.png", "a\udcff.png", "..png"], ["_", "_[31m", "a_", "unnamed"]),
        (["x" * 250 + ".png"], []),
    ],
)
def test_names(sources: list[str], names: list[str]) -> None:
    found = unique_names(sources)
    assert found == names if names else [len(name) for name in found] == [100]


def test_preparing_again_says_what_is_no_longer_there(tmp_path: Path) -> None:
    for name, seeds in (("one", (1, 2)), ("two", (3,))):
        (tmp_path / name).mkdir()
        for seed in seeds:
            write_png(tmp_path / name / f"{seed}.png", picture(seed))
        made = prepare_data(Request("mine", tmp_path / name, size=32, out=tmp_path / "out"))
    assert "2 faces of an earlier preparation" in made.notes[0]


def test_images_written_into_the_source_are_not_read_again(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", picture(1))
    for _ in range(2):
        made = prepare_data(Request("mine", tmp_path, size=32, out=tmp_path))
        assert [r.source for r in made.faces] == ["a.png"]
        assert not made.rejected


# -- landmarks -------------------------------------------------------------------------------------------------------------------

GOOD = ((30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (35.0, 80.0), (65.0, 80.0))


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (GOOD, ""),
        (tuple((x, 120 - y) for x, y in GOOD), "upside down"),
        (tuple((100 - x, y) for x, y in GOOD), "right of the right one"),
        ((*GOOD[:2], (5.0, 55.0), *GOOD[3:]), ""),  # in profile
        ((*GOOD[:2], (50.0, 100.0), *GOOD[3:]), "nose does not lie between"),
        ((*GOOD[:2], (50.0, 20.0), *GOOD[3:]), "nose does not lie between"),
        ((*GOOD[:2], (-40.0, 60.0), *GOOD[3:]), "nose does not lie between"),
        ((GOOD[1], GOOD[0], *GOOD[2:]), "right of the right one"),
        (((30.0, 40.0), (70.0, 80.0), (50.0, 60.0), (60.0, 70.0), (90.0, 100.0)), "on one line"),
    ],
)
def test_landmarks_that_cannot_be_a_face(points: tuple[tuple[float, float], ...], says: str) -> None:
    assert says in implausible(points)
    assert bool(says) == bool(implausible(points))


def _csv(path: Path, rows: dict[str, float], encoding: str = "utf-8") -> Path:
    lines = [",".join([name, *(str(v + shift) for p in GOOD for v in p)]) for name, shift in rows.items()]
    path.write_text("\n".join(["file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5", *lines]), encoding=encoding)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_landmarks_are_matched_by_path_file_name_and_stem(tmp_path: Path, encoding: str) -> None:
    file = LandmarkFile(_csv(tmp_path / "a.csv", {"É/1.jpg": 0, "b\\1.jpg": 1, "only.png": 2, "lonely": 3}, encoding))
    found = file.match(["E\u0301/1.jpg", "b/1.jpg", "x/only.jpg", "y/lonely.tif", "z/1.jpg"])
    assert {name: p[0][0] - 30 for name, p in found.items()} == {
        "E\u0301/1.jpg": 0,
        "b/1.jpg": 1,
        "x/only.jpg": 2,
        "y/lonely.tif": 3,
    }


def test_contradicting_landmarks_are_refused(tmp_path: Path) -> None:
    _csv(tmp_path / "a.csv", {"1.png": 0})
    with (tmp_path / "a.csv").open("a") as file:
        file.write("\n1.png,1,2,3,4,5,6,7,8,9,10")
    with pytest.raises(FaceSRError, match=r"other points for 1\.png"):
        LandmarkFile(tmp_path / "a.csv")


# -- folders that a run reads ----------------------------------------------------------------------------------------------------


def test_a_folder_with_an_unreadable_image_keeps_its_place(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", picture(1))
    (tmp_path / "b.png").symlink_to("/nonexistent.png")
    os.mkfifo(tmp_path / "c.png")
    (tmp_path / "notes.txt").write_text("x")
    found = from_folder(tmp_path)
    assert [(f.name, f.sha256 == UNREADABLE) for f in found.faces] == [("a", False), ("b", True), ("c", True)]
    assert found.unused == ("notes.txt",)
    (tmp_path / "É.png").write_bytes(b"1")
    (tmp_path / "E\u0301.png").write_bytes(b"2")
    with pytest.raises(FaceSRError, match="several images named"):
        from_folder(tmp_path)


@pytest.mark.parametrize(
    ("face", "says"),
    [
        ({"file": "../../etc/a.png"}, "does not lie in the manifest's folder"),
        ({"file": "/etc/a.png"}, "does not lie in the manifest's folder"),
        ({"file": "images/A.png"}, "two faces are named 'a'"),
        ({"sha256": "12"}, "sha256"),
        ({"attributes": {"": "x"}}, "must not be empty"),
        ({"landmarks": [[1, 2]]}, "landmarks"),
        ({"landmarks": [[float("nan"), 2]] * 5}, "landmarks"),
    ],
)
def test_manifests_of_strangers(tmp_path: Path, face: dict[str, object], says: str) -> None:
    import json

    rows = [{"file": "images/a.png", "sha256": "0" * 64}, {"file": "images/b.png", "sha256": "0" * 64, **face}]
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "x", "size": 32, "reduce": "box", "faces": rows}))
    with pytest.raises(FaceSRError, match=says):
        from_folder(tmp_path)


def test_originals_are_not_overwritten(tmp_path: Path) -> None:
    faces(tmp_path / "ffhq/images", 2)
    before = [p.read_bytes() for p in sorted((tmp_path / "ffhq/images").iterdir())]
    with pytest.raises(FaceSRError, match="choose another --out"):
        prepare_data(Request("mine", tmp_path / "ffhq/images", size=32, out=tmp_path / "ffhq"))
    assert [p.read_bytes() for p in sorted((tmp_path / "ffhq/images").iterdir())] == before
