"""`facesr train` where nobody has our folders: the default recipes on drawn faces and on a folder, going on from weights, all at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import facesr.methods
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import read_rgb, resize8, write_png
from facesr.bench.weights import load_tensors
from facesr.cli import main
from facesr.cli.train import default_recipe
from facesr.methods.fsrnet import FSRNet
from facesr.methods.pix2pixhd import Pix2PixHD
from facesr.methods.psp import PSP
from facesr.methods.training import read_recipe
from facesr.methods.training.job import prepare, with_faces
from facesr.methods.training.trunks import tensors

METHODS = Path(facesr.methods.__file__).parent
FEW = ("--threads", "1", "--set", "loop.batch=2", "--set", "loop.steps=2", "--set", "loop.warmup=0", "--set", "loop.decay=0")
DRAWN = ("--set", "data.generated.held_out=1")
SMALL_FSRNET = (
    *("--set", "net.width=16", "--set", "net.deconv_widths=[8, 8, 8]", "--set", "net.prior_width=16"),
    *("--set", "net.encoder_blocks=1", "--set", "net.hourglasses=1"),
)
SMALL_PIX2PIXHD = ("--set", "net.ngf=4", "--set", "net.n_blocks=1", "--set", "net.ndf=4", "--set", "loss.lpips=0.0")
SMALL_PSP = (
    *("--set", "net.start_faces=0", "--set", "net.channels=[8, 8, 16, 16]", "--set", "net.width=16", "--set", "net.head=16"),
    *("--set", "loss.lpips=0.0", "--set", "loss.images_from=1", "--set", "loss.images=1"),
)


@pytest.fixture(autouse=True)
def nothing_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No folder of ours, no weights but those that come along."""
    monkeypatch.delenv("FACESR_FIXTURES", raising=False)
    monkeypatch.delenv("FACESR_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures of a stranger's: 160 pixels, larger than the recipes' 128."""
    noise = np.random.default_rng(1)
    (tmp_path / "mine").mkdir()
    for i in range(6):
        write_png(tmp_path / "mine" / f"{i}.png", resize8(noise.integers(0, 256, (5, 5, 3), dtype=np.uint8), 160, "bicubic-matlab"))
    return tmp_path / "mine"


def test_fsrnet_trains_on_drawn_faces_alone(tmp_path: Path) -> None:
    """Steps, a validation on drawn faces, and weights that the method takes."""
    assert main(["train", "fsrnet", "--out", "run", *FEW, *DRAWN, *SMALL_FSRNET]) == 0
    scores = json.loads((tmp_path / "run/history.jsonl").read_text().splitlines()[-1])
    assert scores["step"] == 2
    assert 5 < scores["psnr_bicubic"] < 40
    assert "\n# --set loop.batch=2\n" in (tmp_path / "run/recipe.toml").read_text(), "what was changed goes with the weights"
    image = FSRNet.from_checkpoint(tmp_path / "run/weights.safetensors").restore(torch.rand(1, 3, 16, 16))
    assert image.shape == (1, 3, 128, 128)


def test_pix2pixhd_trains_on_a_folder(tmp_path: Path, folder: Path) -> None:
    """One of the six is kept for validation; larger faces are reduced by the box average; the file holds both stages."""
    assert main(["train", "pix2pixhd", "--data", "mine", "--out", "run", *FEW, *SMALL_PIX2PIXHD]) == 0
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["finished"], summary["faces_seen"]) == (True, 4)
    method = Pix2PixHD.from_checkpoint(tmp_path / "run/weights.safetensors")
    assert method.restore(torch.rand(1, 3, 16, 16)).shape == (1, 3, 128, 128)
    job = prepare(with_faces(read_recipe(default_recipe("fsrnet"), {"loop.batch": "4"}), "mine"))
    (held,) = job.validation
    assert held["names"] == ["0"]
    expected = resize8(read_rgb(folder / "0.png"), 128, "box").astype(np.float32) / 255
    assert np.allclose(held["hr"][0].permute(1, 2, 0).numpy(), expected)
    batch = job.source.batch(3)
    assert {*batch["names"][:2]} <= {"1", "2", "3", "4", "5"}
    assert batch["names"][2:] == ["generated-0", "generated-1"]


def test_psp_trains_on_drawn_faces(tmp_path: Path) -> None:
    """Codes first, then through the generator; validated on drawn faces."""
    assert main(["train", "psp", "--out", "run", *FEW, *SMALL_PSP]) == 0
    scores = json.loads((tmp_path / "run/history.jsonl").read_text().splitlines()[-1])
    assert {"l2", "epsilon"} <= set(scores)


def test_drawn_faces_are_new_at_each_step_and_the_same_again() -> None:
    """A step's faces are a function of the step; no two steps share a face."""
    recipe = read_recipe(default_recipe("fsrnet"), {"loop.batch": "2", "data.generated.held_out": "0"})
    one, other = prepare(recipe).source, prepare(recipe).source
    assert torch.equal(one.batch(5)["hr"], other.batch(5)["hr"])
    assert not torch.equal(one.batch(5)["hr"], one.batch(6)["hr"])
    assert 0.2 < float(one.batch(5)["hr"].mean()) < 0.8


def test_going_on_from_the_weights_that_come_along() -> None:
    """`--start default`: the first step begins with the default weights; other sizes are refused in one sentence."""
    recipe = read_recipe(default_recipe("fsrnet"), {"net.start": "default", "data.generated.held_out": "0"})
    begun = prepare(recipe).objective.modules["net"].state_dict()
    shipped = FSRNet()
    shipped.load()
    held = shipped.net.state_dict()
    assert all(torch.equal(begun[key], held[key]) for key in begun)
    with pytest.raises(FaceSRError, match="as this recipe's FSRNet"):
        prepare(read_recipe(default_recipe("fsrnet"), {"net.start": "default", "net.width": "16"}))


def test_what_cannot_be_is_said_in_one_sentence(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """No such data, oblong faces, --all without minutes or with a method, weights that are nowhere."""
    (tmp_path / "oblong").mkdir()
    write_png(tmp_path / "oblong" / "a.png", np.zeros((128, 200, 3), np.uint8))
    write_png(tmp_path / "oblong" / "b.png", np.zeros((128, 200, 3), np.uint8))
    assert main(["train", "fsrnet", "--data", "oblong", "--out", "a"]) == 2
    assert main(["train", "fsrnet", "--data", "no-such-set", "--out", "a"]) == 2
    assert main(["train", "generator", "--data", "oblong", "--out", "a"]) == 2
    assert main(["train", "--all", "--out", "a"]) == 2
    assert main(["train", "fsrnet", "--all", "--minutes", "1", "--out", "a"]) == 2
    assert main(["train", "--out", "a"]) == 2
    errors = capfd.readouterr().err
    for words in ("200 x 128 pixels", "no-such-set", "own teacher", "add --minutes", "leave out NAME", "name a method"):
        assert words in errors
    assert "Traceback" not in errors
    with pytest.raises(FaceSRError, match="trunk_weights names no file"):
        tensors("", "[loss] trunk_weights")


@pytest.mark.slow
def test_all_share_the_minutes(tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The command itself with the card recipes at tiny sizes, on packed faces: pix2pixHD works on the FSRNet trained before it, pSp comes last."""
    assert main(["data", "pack", "mine", "--out", "mine.zip"]) == 0
    small = {
        "fsrnet": (*SMALL_FSRNET[1::2], 'net.start=""', "net.coarse_width=4", "data.generated.held_out=1"),
        "pix2pixhd": (*SMALL_PIX2PIXHD[1::2], "net.ndf_boxes=4", "data.generated.held_out=1"),
        "psp": (*SMALL_PSP[1::2], 'net.start=""'),
    }
    asked = ["loop.batch=2", "loop.precision=32-true", *(f"{name}.{one}" for name, many in small.items() for one in many)]
    command = [
        "train",
        "--all",
        "--minutes",
        "0.5",
        "--data",
        "mine.zip",
        "--threads",
        "1",
        *(w for one in asked for w in ("--set", one)),
    ]
    assert main([*command, "--out", "wrong", "--set", "psp.net.width=x"]) == 2
    assert not (tmp_path / "wrong").exists(), "the last recipe's fault is said before the first one trains"
    assert main([*command, "--out", "all"]) == 0
    printed = capfd.readouterr().out
    for name, method in (("fsrnet", FSRNet), ("pix2pixhd", Pix2PixHD), ("psp", PSP)):
        assert re.search(rf"{name}: \d+ steps, \d+ faces", printed)
        image = method.from_checkpoint(tmp_path / "all" / name / "weights.safetensors").restore(torch.rand(1, 3, 16, 16))
        assert isinstance(image, torch.Tensor)
        assert image.shape == (1, 3, 128, 128)
    first = Pix2PixHD.from_checkpoint(tmp_path / "all/pix2pixhd/weights.safetensors").net.state_dict()
    trained = FSRNet.from_checkpoint(tmp_path / "all/fsrnet/weights.safetensors").net.state_dict()
    assert all(torch.equal(value, trained[key.removeprefix("first.")]) for key, value in first.items() if key.startswith("first."))
    assert main([*command, "--out", "all"]) == 2
    assert "already a training run" in capfd.readouterr().err


def test_a_preview_without_validation_faces_shows_the_training_batch() -> None:
    """As each timing of ``--all`` and any recipe without [[data.validation]] ends: pSp's training batches have the encoder's input, no LR face."""
    recipe = read_recipe(default_recipe("psp"), dict(pair.split("=", 1) for pair in SMALL_PSP[1::2]) | {"loop.batch": "2"})
    objective = prepare(recipe).objective
    given = torch.linspace(-1, 1, 32).expand(1, 3, 32, 32)
    sheet = objective.preview({"hr": torch.zeros(1, 3, 128, 128), "given": given})
    lr, hr = sheet[:, :128, :128], sheet[:, -128:, -128:]
    assert float(lr[0, 64, 64]) == pytest.approx(0.5, abs=0.01), "the middle of a ramp from black to white"
    assert float(lr[0, 64, -4] - lr[0, 64, 3]) > 0.9
    assert float(hr.abs().max()) == 0


@pytest.mark.parametrize("card", sorted(METHODS.glob("*/weights/*.md")), ids=lambda card: card.stem)
def test_a_model_card_names_the_recipes_of_its_weights(card: Path) -> None:
    """Each file is there, and says in its first lines that it made these weights: `default.toml` is what strangers run."""
    named = re.findall(r"`(?:[.\w/]+/)?recipes/([\w.-]+\.toml)`", card.read_text(encoding="utf-8"))
    assert named
    for name in named:
        head = (card.parents[1] / "recipes" / name).read_text(encoding="utf-8").split("method =")[0]
        assert f"/weights/{card.stem}.safetensors" in head, name


@pytest.mark.parametrize("cls", [FSRNet, Pix2PixHD, PSP])
def test_the_default_recipe_goes_on_from_the_weights_that_come_along(cls: type[FSRNet | Pix2PixHD | PSP]) -> None:
    """``--start default`` as the docs have it: sizes of recipe and weights agree, and what is saved without a step is the file's."""
    name = cls.__name__.lower()
    changes = {"net.start": "default"}
    changes |= {} if cls is FSRNet else {"loss.lpips": "0.0"}
    changes |= {} if cls is PSP else {"data.generated.held_out": "1"}
    changes |= {"net.strength": "1.0"} if cls is Pix2PixHD else {}
    saved, _ = prepare(read_recipe(default_recipe(name), changes)).objective.export()
    own = load_tensors(cls.default)
    for key, value in own.items():
        assert torch.allclose(saved[key].float(), value.float(), atol=1e-3, rtol=1e-3), key
