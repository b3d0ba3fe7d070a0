"""Preparing and verifying faces, from the forms in which people have them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from facesr.bench.data import celebahq, london
from facesr.bench.data.dataset import find_dataset, from_folder, from_manifest
from facesr.bench.data.manifest import Rejected
from facesr.bench.data.prepare import Request, prepare_data
from facesr.bench.data.sources import Source
from facesr.bench.data.verify import verify_data
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import encode_png, read_rgb, resize8, write_png
from facesr.bench.reading import file_sha256
from helpers import picture

INDICES = (0, 17, 5, 29_999, 1234)


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    """A mapping file of the right shape: index i stands for CelebA file number 7 i + 1."""
    file = tmp_path / "mapping.txt"
    rows = [f"{i:<10} {7 * i:<10} {7 * i + 1:06d}.jpg" for i in range(30_000)]
    file.write_text("idx orig_idx orig_file\n" + "\n".join(rows))
    return file


def _split(index: int) -> str:
    return "train" if 7 * index + 1 <= 162_770 else "val" if 7 * index + 1 <= 182_637 else "test"


def _as_folder(root: Path) -> Path:
    for i in INDICES:
        (root / "CelebA-HQ-img").mkdir(parents=True, exist_ok=True)
        write_png(root / f"CelebA-HQ-img/{i}.png", picture(i, 64))
    return root


def _as_zeros(root: Path) -> Path:
    root.mkdir()
    for i in INDICES:
        write_png(root / f"{i:05d}.png", picture(i, 64))
    return root


def _as_zip(root: Path) -> Path:
    root.mkdir()
    with zipfile.ZipFile(root / "hq.zip", "w") as archive:
        for i in INDICES:
            archive.writestr(f"data/imgHQ{i:05d}.png", encode_png(picture(i, 64)))
        archive.writestr("__MACOSX/._0.png", b"x")
    return root


def _as_parquet(root: Path) -> Path:
    root.mkdir()
    cells = [{"bytes": encode_png(picture(i, 64)), "path": f"{i}.png"} for i in INDICES]
    pq.write_table(pa.table({"image": cells, "label": list(range(len(cells)))}), root / "train-00000.parquet")
    return root


@pytest.mark.parametrize("form", [_as_folder, _as_zeros, _as_zip, _as_parquet])
def test_celebahq_in_every_form(tmp_path: Path, mapping: Path, form: Callable[[Path], Path]) -> None:
    source = form(tmp_path / "source")
    manifest = prepare_data(Request("celeba-hq", source, size=32, mapping=mapping, out=tmp_path / "out"))
    assert {r.name: r.split for r in manifest.faces} == {f"{i:05d}": _split(i) for i in INDICES}
    assert manifest.total == {"train": 24_183, "val": 2_993, "test": 2_824, "all": 30_000}
    assert np.array_equal(read_rgb(tmp_path / "out/images/00017.png"), resize8(picture(17, 64), 32, "box"))
    one = from_manifest(tmp_path / "out", "test")
    assert (len(one.faces), one.total) == (1, 2_824)  # the table says "1 of 2,824"
    assert verify_data(tmp_path / "out").clean


def test_splits_prepared_one_after_the_other_stay(tmp_path: Path, mapping: Path) -> None:
    source = _as_folder(tmp_path / "source")
    for split in ("test", "train"):
        prepare_data(Request("celeba-hq", source, size=32, split=split, mapping=mapping, out=tmp_path / "out"))
    assert len(from_manifest(tmp_path / "out", "all").faces) == len([i for i in INDICES if _split(i) != "val"])


def test_renumbered_folders_are_refused(tmp_path: Path, mapping: Path) -> None:
    folder = tmp_path / "test_img"
    folder.mkdir()
    for i in range(4):
        write_png(folder / f"{i}.png", picture(i, 32))
    with pytest.raises(FaceSRError, match="renumbered for each split"):
        prepare_data(Request("celeba-hq", folder, size=32, mapping=mapping, out=tmp_path / "out"))
    splits = {i: _split(i) for i in range(30_000)}
    for names, source, says in (
        ([f"{i}.png" for i in range(2_824)], "images", "size of the test split"),
        ([f"{i}.png" for i in range(1, 2_825)], "images", "size of the test split"),
        ([f"{s}_img/{i}.png" for s in ("train", "val", "test") for i in range(3)], "data", "named after the train split"),
        (
            [f"{s}-00000-of-00001.parquet/{i}.png" for s in ("train", "test") for i in range(3)],
            "data",
            "named after the train split",
        ),
        ([f"{i:05d}.jpg" for i in range(1, 30_001)], "images", "above 29999"),
        (["000001.jpg", "000017.jpg"], "images", "six digits"),
        (["182638.jpg", "202599.jpg"], "img_align_celeba", "six digits"),
        (["test/29999.png", "test/3.png"], "data", "index 3 is of the train split"),
        (["a/5.png", "b/5.png"], "data", "is there twice, as a/5.png and as b/5.png"),
        (["5.png", "5.jpg"], "data", "is there twice"),
    ):
        with pytest.raises(FaceSRError, match=says):
            celebahq.refuse_renumbered(names, source, splits)
    assert celebahq.refuse_renumbered((f"{i}.jpg" for i in range(30_000)), "CelebA-HQ-img", splits) == ""
    assert celebahq.refuse_renumbered(("29990.png", "29999.png"), "test_img", splits) == ""  # original numbers are fine there
    assert "is assumed" in celebahq.refuse_renumbered((f"{i}.png" for i in range(1000)), "images", splits)


def test_images_of_other_splits_are_counted_and_an_empty_split_is_refused(tmp_path: Path, mapping: Path) -> None:
    source = _as_folder(tmp_path / "source")
    made = prepare_data(Request("celeba-hq", source, size=32, split="test", mapping=mapping, out=tmp_path / "out"))
    assert len(made.faces) == 1
    assert made.not_asked == {"train": 4}
    with pytest.raises(FaceSRError, match="no images of split 'val'"):
        prepare_data(Request("celeba-hq", source, size=32, split="val", mapping=mapping, out=tmp_path / "out"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"split": "test"}, "only celeba-hq has splits"),
        ({"mapping": Path("x")}, "only celeba-hq has a mapping"),
        ({"dataset": "london", "align": True}, "aligned by its own landmarks"),
        ({"dataset": "celeba-hq", "landmarks": Path("x")}, "placed already"),
        ({"dataset": "demo"}, "nothing to prepare"),
        ({"source": Path("absent")}, "no folder or archive absent"),
    ],
)
def test_options_that_would_do_nothing_are_refused(tmp_path: Path, more: dict[str, object], says: str) -> None:
    with pytest.raises(FaceSRError, match=says):
        prepare_data(Request(**{"dataset": "mine", "source": tmp_path, **more}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["0 1 000002.jpg"], "1 of 30,000 rows"),
        (["<html>", "<body>"], "0 of 30,000 rows"),
        (["0 1 000003.jpg"], "contradicts itself"),
        (["0 1 000002.jpg", "0 7 000008.jpg"], "contradicts itself or another"),
    ],
)
def test_wrong_mapping_files(tmp_path: Path, rows: list[str], says: str) -> None:
    source = _as_folder(tmp_path / "source")
    with pytest.raises(FaceSRError, match="put it beside the images"):
        prepare_data(Request("celeba-hq", source, size=32, out=tmp_path / "out"))
    (source / celebahq.MAPPING).write_text("\n".join(rows))
    with pytest.raises(FaceSRError, match=says):
        prepare_data(Request("celeba-hq", source, size=32, out=tmp_path / "out"))
    with pytest.raises(FaceSRError, match="no split 'tset': did you mean 'test'"):
        prepare_data(Request("celeba-hq", source, size=32, split="tset", out=tmp_path / "out"))


def test_what_cannot_be_used_is_listed(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    write_png(source / "good.png", picture(1, 64))
    write_png(source / "same.png", picture(1, 64))
    write_png(source / "small.png", picture(2, 16))
    write_png(source / "oblong.png", picture(3, 64)[:40])
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    manifest = prepare_data(Request("mine", source, size=32, out=tmp_path / "out"))
    assert [r.file for r in manifest.faces] == ["images/good.png"]
    reasons = {r.source: r.reason for r in manifest.rejected}
    assert set(reasons) == {"same.png", "small.png", "oblong.png", "broken.jpg"}
    assert "the same image as good" in reasons["same.png"]
    assert "too small" in reasons["small.png"]
    assert "not square" in reasons["oblong.png"]
    assert "broken" in reasons["broken.jpg"] or "not an image" in reasons["broken.jpg"]
    assert from_manifest(tmp_path / "out").total == 5


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(FaceSRError, match="holds no images"):
        prepare_data(Request("mine", tmp_path / "photos", size=32, out=tmp_path / "out"))
    write_png(tmp_path / "photos/a.png", picture(2, 16))
    with pytest.raises(FaceSRError, match="no usable face"):
        prepare_data(Request("mine", tmp_path / "photos", size=32, out=tmp_path / "out"))


def test_alignment_by_given_points_puts_the_eyes_level(tmp_path: Path) -> None:
    from facesr.bench.align import ffhq_frame

    (tmp_path / "photos").mkdir()
    write_png(tmp_path / "photos/a.png", picture(4, 400))
    write_png(tmp_path / "photos/b.png", picture(5, 400))
    points = [(150, 180), (250, 200), (200, 240), (155, 290), (235, 300)]
    row = ",".join(f"{v}" for p in points for v in p)
    (tmp_path / "points.csv").write_text(f"file,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\na.png,{row}\n")
    manifest = prepare_data(
        Request("mine", tmp_path / "photos", size=64, align=True, landmarks=tmp_path / "points.csv", out=tmp_path / "out")
    )
    (face,) = from_manifest(tmp_path / "out").faces
    assert face.landmarks is not None
    left, right = np.array(face.landmarks[0]), np.array(face.landmarks[1])
    turned = np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0]))
    assert abs(turned) < abs(np.degrees(np.arctan2(20, 100)))
    assert np.linalg.norm(right - left) == pytest.approx(np.hypot(100, 20) * 64 / ffhq_frame(points).side, abs=0.02)
    assert manifest.rejected == (Rejected("b.png", "no landmarks in points.csv"),)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    source = tmp_path / "photos"
    source.mkdir()
    for i in range(4):
        write_png(source / f"{i}.png", picture(i, 32))
    prepare_data(Request("mine", source, size=32, out=tmp_path / "out"))
    return tmp_path / "out"


def test_verify_finds_each_kind_of_trouble(prepared: Path) -> None:
    assert verify_data(prepared).clean
    write_png(prepared / "images/0.png", picture(9, 32))
    (prepared / "images/1.png").unlink()
    write_png(prepared / "images/new.png", picture(10, 32))
    (prepared / "images/2.png").write_bytes((prepared / "images/3.png").read_bytes())
    verdict = verify_data(prepared)
    assert set(verdict.changed) == {"images/0.png", "images/2.png"}
    assert verdict.missing == ("images/1.png",)
    assert verdict.extra == ("images/new.png",)
    assert verdict.duplicate == (("images/2.png", "images/3.png"),)
    assert verdict.good == 1
    with pytest.raises(FaceSRError, match="3 images are missing or not what was prepared"):
        from_manifest(prepared)


def test_folders_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(FaceSRError, match="no folder"):
        from_folder(tmp_path / "absent")
    with pytest.raises(FaceSRError, match="holds no images"):
        from_folder(tmp_path)
    write_png(tmp_path / "b.png", picture(1))
    write_png(tmp_path / "a.png", picture(2))
    found = from_folder(tmp_path)
    assert [f.name for f in found.faces] == ["a", "b"]
    assert found.faces[0].sha256 == file_sha256(tmp_path / "a.png")
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(FaceSRError, match="several images named 'a'"):
        from_folder(tmp_path)


def test_a_data_set_that_is_not_prepared_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FACESR_DATA", str(tmp_path))
    with pytest.raises(FaceSRError, match="facesr data prepare celeba-hq --from FOLDER"):
        find_dataset("celeba-hq", "test", 128)


def test_demo_faces_are_eight_and_whole() -> None:
    demo = find_dataset("demo", "all", 128)
    assert len(demo.faces) == demo.total == 8
    for face in demo.faces:
        assert read_rgb(face.path).shape == (128, 128, 3)


@pytest.mark.parametrize("make", [lambda p: p.write_text("x"), lambda p: None])
def test_broken_archives_are_told(tmp_path: Path, make: Callable[[Path], object]) -> None:
    for suffix in (".zip", ".parquet"):
        make(tmp_path / f"a{suffix}")
        with pytest.raises(FaceSRError, match=r"not a readable|No such file"):
            list(Source(tmp_path / f"a{suffix}").items())


def test_parquet_without_names_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [encode_png(picture(1))]}), tmp_path / "a.parquet")
    with pytest.raises(FaceSRError, match="does not say which image is which"):
        list(Source(tmp_path / "a.parquet").items())
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(FaceSRError, match="no image column"):
        list(Source(tmp_path / "b.parquet").items())


def test_manifest_is_plain_json(prepared: Path) -> None:
    manifest = json.loads((prepared / "manifest.json").read_text())
    assert manifest["size"] == 32
    assert all(len(r["sha256"]) == 64 for r in manifest["faces"])
    assert {r["source"] for r in manifest["faces"]} == {f"{i}.png" for i in range(4)}


def test_a_list_of_londoners_that_is_no_csv_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "london_info.csv").write_text("face_id,face_age\n" + "x" * 200_000)
    with pytest.raises(FaceSRError, match=r"london_info\.csv: not CSV"):
        london.read_people(tmp_path)
