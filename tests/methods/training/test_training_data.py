"""Training data: batches as a function of the step, augmentation, what a recipe's data tables name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import resize8, to_tensor, write_png
from facesr.methods.training import FaceBatches, degrade_batch, load_faces
from facesr.methods.training.data import Augment, check_apart, training_images
from helpers import same


def source(folder: Path, batch: int = 2) -> FaceBatches:
    return FaceBatches(load_faces([{"folder": str(folder)}], 32), batch, 4, Augment(), seed=3)


def test_batches_depend_on_the_step_alone_and_cover_an_epoch(folder: Path) -> None:
    one, other = source(folder), source(folder)
    for step in (7, 0, 3):
        assert same(one.batch(step), other.batch(step))
    assert sorted(name for step in range(5) for name in one.batch(step)["names"]) == [f"{i:02d}" for i in range(10)]
    assert not same(one.batch(0), one.batch(5))
    # two processes take neighbouring slices of the one order
    joint = FaceBatches(one.faces, 4, 4, Augment(), seed=3)
    assert one.rows(0, 0, 2) + one.rows(0, 1, 2) == joint.rows(0)


def test_lr_is_the_protocols(folder: Path) -> None:
    faces = load_faces([{"folder": str(folder), "last": 4}], 32)
    expected = np.stack([resize8(image, 8, "bicubic-matlab") for image in faces.pixels])
    found = degrade_batch(to_tensor(faces.pixels), 4)
    # the sum's order differs, so a value on .5 may round the other way
    assert float((found - to_tensor(expected)).abs().max()) <= 1 / 255 + 1e-6
    assert float((found != to_tensor(expected)).float().mean()) < 0.01
    plain = FaceBatches(faces, 2, 4).batch(0)
    assert torch.equal(plain["lr"], degrade_batch(plain["hr"], 4))


def test_flips_and_shifts_are_what_they_say(folder: Path) -> None:
    faces = load_faces([{"folder": str(folder)}], 32)
    images = np.repeat(faces.pixels[:1], 40, 0)
    generator = torch.Generator().manual_seed(0)
    flipped, placed = Augment(flip=True).placed(images, generator)
    same_as = [bool(torch.equal(x, flipped[0])) for x in flipped]
    assert all(torch.equal(x, flipped[0]) or torch.equal(x, flipped[0].flip(2)) for x in flipped)
    assert 5 < sum(same_as) < 35
    assert torch.equal(flipped[0] if not placed.flips[0] else flipped[0].flip(2), to_tensor(images[:1])[0])
    shifted, placed = Augment(flip=False, shift=2).placed(images, generator)
    centre = to_tensor(faces.pixels[:1])[0]
    windows = [centre[:, 2 + dy : 30 + dy, 2 + dx : 30 + dx] for dy in range(-2, 3) for dx in range(-2, 3)]
    for x, (down, right) in zip(shifted, placed.moves.tolist(), strict=True):
        assert torch.allclose(x[:, 2:30, 2:30], windows[5 * (down + 2) + right + 2], atol=1e-6)


def test_repeats_enlarge_the_epoch_and_csv_rows_are_chosen(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "faces.csv"
    table.write_text("file,strict\n00.png,1\n01.png,0\n02.png,1\n", encoding="utf-8")
    chosen = {"folder": str(folder), "csv": str(table), "where": {"strict": 1}}
    assert [item.name for item in training_images(chosen)] == ["00.png", "02.png"]
    faces = load_faces([{**chosen, "repeat": 3}, {"folder": str(folder), "first": 5}], 32)
    assert len(faces) == 2 * 3 + 5
    assert len(faces.names) == 7


def test_prepared_splits_are_taken(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facesr.bench.data.dataset import from_folder

    asked = []

    def find(dataset: str, split: str, size: int) -> Any:
        asked.append((dataset, split, size))
        return from_folder(folder)

    monkeypatch.setattr("facesr.methods.training.data.find_dataset", find)
    faces = load_faces([{"dataset": "celeba-hq", "split": "train", "first": 2}], 32)
    assert asked == [("celeba-hq", "train", 32)]
    assert list(faces.names) == [f"{i:02d}" for i in range(2, 10)]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"folder": "/no/such"}, "no such folder"),
        ({"fold": "x"}, "did you mean 'folder'"),
        ({}, "needs 'folder'"),
        ({"folder": "$NO_SUCH_VARIABLE_HERE/faces"}, "not set"),
    ],
)
def test_wrong_data_tables_get_one_sentence(table: dict[str, Any], words: str) -> None:
    with pytest.raises(FaceSRError, match=words):
        load_faces([table], 32)


@pytest.mark.parametrize("data", [b"file\n\xff.png\n", b"file\n" + b"x" * 200_000])
def test_a_list_that_is_no_csv_gets_one_sentence(data: bytes, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_bytes(data)
    with pytest.raises(FaceSRError, match=r"list\.csv: not CSV"):
        training_images({"folder": str(folder), "csv": str(tmp_path / "list.csv")})


def test_other_sizes_get_one_sentence(folder: Path) -> None:
    with pytest.raises(FaceSRError, match="32 x 32 pixels, the recipe trains on aligned faces of 64 x 64"):
        load_faces([{"folder": str(folder)}], 64)
    with pytest.raises(FaceSRError, match="×5"):
        FaceBatches(load_faces([{"folder": str(folder)}], 32), 2, 5)


def test_faces_come_packed_in_a_zip_too(folder: Path, tmp_path: Path) -> None:
    """`data pack`: the same bytes again, every square image or the reason why not; a recipe's folder may be that file."""
    from facesr.bench.data.pack import pack

    (tmp_path / "mine" / "more").mkdir(parents=True)
    for name in ("a.png", "more/a.png"):
        write_png(
            tmp_path / "mine" / name, resize8(load_faces([{"folder": str(folder), "last": 1}], 32).pixels[0], 64, "bicubic-matlab")
        )
    write_png(tmp_path / "mine" / "oblong.png", np.zeros((64, 80, 3), np.uint8))
    (tmp_path / "mine" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "mine" / "list.csv").write_text("file\n", encoding="utf-8")
    made = pack(tmp_path / "mine", tmp_path / "a.zip", 32)
    again = pack(tmp_path / "mine", tmp_path / "b.zip", 32)
    assert (made.faces, [name for name, _ in made.left_out]) == (2, ["broken.jpg", "oblong.png"])
    assert made.path.read_bytes() == again.path.read_bytes()
    assert made.bytes == made.path.stat().st_size < 3000
    packed, plain = (load_faces([{"folder": str(tmp_path / f), "last": 1}], 32) for f in ("a.zip", "mine/more"))
    assert float(np.abs(packed.pixels.astype(int) - plain.pixels).mean()) < 4
    assert [item.name for item in training_images({"folder": str(made.path), "first": 1}, 32, read=False)] == ["more/a.webp"]
    for source, out, words in (
        (folder, "a.zip", "is there already"),
        (folder, "a.tar", "name a .zip"),
        (tmp_path / "no", "c.zip", "no folder"),
    ):
        with pytest.raises(FaceSRError, match=words):
            pack(source, tmp_path / out, 32)
    with pytest.raises(FaceSRError, match="no square image of 512"):
        pack(folder, tmp_path / "c.zip", 512)
    with pytest.raises(FaceSRError, match="broken"):
        load_faces([{"folder": str(tmp_path / "mine")}], 64)
    with pytest.raises(FaceSRError, match="csv names files of a folder"):
        load_faces([{"folder": str(made.path), "csv": str(tmp_path / "mine" / "list.csv")}], 32)


def test_darkening_is_an_exponent_of_one_or_more(folder: Path) -> None:
    """Black and white stay, what lies between only darkens, by one exponent per face; 0 draws nothing, so older recipes keep their batches."""
    pixels = np.tile(np.array([0, 64, 128, 255], np.uint8)[:, None, None], (64, 1, 4, 3))
    x, _ = Augment(flip=False, darken=0.4).placed(pixels, torch.Generator().manual_seed(1))
    assert float(x[:, :, 0].max()) == 0
    assert float(x[:, :, 3].min()) == 1
    exponents = x[:, 0, 1:3, 0].log() / torch.tensor([64 / 255, 128 / 255]).log()
    assert torch.allclose(exponents[:, 0], exponents[:, 1], rtol=1e-4)
    assert float(exponents.min()) >= 1
    assert 0.25 < float(exponents[:, 0].log().mean()) < 0.4  # of |N(0, .4)|: .4 sqrt(2 / pi) = .319


def test_every_file_that_is_no_face_is_named_at_once(tmp_path: Path) -> None:
    """Broken, CMYK, 16-bit, small, not square: one sentence with all five of eight, not one file per try. Grey and turned JPEGs are faces."""
    down, across = np.mgrid[:32, :32] * 8
    face = np.stack([down, across, 255 - down // 2], -1).astype(np.uint8)
    for name in ("ok.png", "broken.png"):
        Image.fromarray(face).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes((tmp_path / "ok.png").read_bytes()[:60])
    Image.fromarray(face).convert("CMYK").save(tmp_path / "cmyk.jpg")
    Image.fromarray(face[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(face[:16, :16]).save(tmp_path / "small.png")
    Image.fromarray(face[:, :31]).save(tmp_path / "wide.png")
    Image.fromarray(face[..., 0]).save(tmp_path / "grey.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(face).save(tmp_path / "turned.jpg", exif=turned, quality=100)
    with pytest.raises(FaceSRError, match="5 files are no aligned face to train on") as told:
        load_faces([{"folder": str(tmp_path)}], 32)
    for name in ("broken.png", "cmyk.jpg", "deep.png", "small.png", "wide.png"):
        assert str(told.value).count(f"{name}: ") == 1
        (tmp_path / name).unlink()
    found = load_faces([{"folder": str(tmp_path)}], 32)
    assert found.names == ("grey", "ok", "turned")
    assert (found.pixels[0] == face[..., :1]).all()
    upright = np.rot90(face, -1).astype(int)  # orientation 6: the camera's picture is turned a quarter clockwise
    assert np.abs(found.pixels[2] - upright).mean() < 8 < np.abs(found.pixels[2] - face.astype(int)).mean()


def test_pictures_not_names_tell_training_from_validation(tmp_path: Path) -> None:
    """Folders of people have an 0001.png each, which are different pictures; a copy under another name is the same one."""
    faces = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), np.uint8)
    for i, place in enumerate(("a/0001.png", "b/0001.png", "c/0001.png")):
        (tmp_path / place).parent.mkdir()
        Image.fromarray(faces[i]).save(tmp_path / place)
    held_out = load_faces([{"folder": str(tmp_path), "last": 1}], 32)
    check_apart(load_faces([{"folder": str(tmp_path), "first": 1}], 32), held_out)
    (tmp_path / "c" / "copy.png").write_bytes((tmp_path / "a" / "0001.png").read_bytes())
    with pytest.raises(FaceSRError, match=r"1 picture is in validation and training data \(0001 and copy\)"):
        check_apart(load_faces([{"folder": str(tmp_path), "first": 1}], 32), held_out)
