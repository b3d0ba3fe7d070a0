"""The training loop: resuming to the same result, data as a function of the step, recipes, NaN stops, the command."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from facesr.bench.config import from_table
from facesr.bench.errors import FaceSRError
from facesr.cli import main
from facesr.methods.fsrnet.method import FSRNet
from facesr.methods.pix2pixhd.method import Pix2PixHD
from facesr.methods.training import (
    Batch,
    DivergedError,
    FaceBatches,
    Loop,
    Machine,
    Objective,
    Phase,
    Trainer,
    checkpoint,
    load_faces,
    read_recipe,
)
from facesr.methods.training.data import Augment, expand
from facesr.methods.training.job import prepare, run_training
from helpers import same

FSRNET = """
method = "fsrnet"
[net]
width = 8
coarse_width = 4
deconv_widths = [8, 4]
prior_width = 8
coarse_blocks = 0
encoder_blocks = 1
decoder_blocks = 0
hourglasses = 1
hourglass_depth = 1
landmarks = 0
parsing = 0
residual = true
[optimiser]
name = "adamw"
lr = 2e-3
[loop]
steps = 6
batch = 3
average = 0.9
clip = 1.0
warmup = 2
decay = 2
validate_every = 3
preview_every = 3
log_every = 1
[data]
size = 32
scale = 4
[data.augment]
shift = 2
gain = 0.1
[[data.train]]
folder = "FOLDER"
first = 0
last = 8
[[data.validation]]
folder = "FOLDER"
first = 8
"""

PIX2PIXHD = """
method = "pix2pixhd"
[net]
ngf = 4
n_down = 2
n_blocks = 1
ndf = 4
n_layers = 2
[loss]
vgg = 0.0
l1 = 1.0
consistency = 1.0
gan_from = 2
[optimiser.generator]
name = "adam"
lr = 2e-4
betas = [0.5, 0.999]
[optimiser.discriminator]
name = "adam"
lr = 2e-4
betas = [0.5, 0.999]
[loop]
steps = 6
batch = 2
average = 0.9
validate_every = 3
preview_every = 3
[data]
size = 32
scale = 4
[[data.train]]
folder = "FOLDER"
last = 8
[[data.validation]]
folder = "FOLDER"
first = 8
"""


def recipe(tmp_path: Path, text: str, folder: Path, name: str = "recipe.toml") -> Path:
    path = tmp_path / name
    path.write_text(text.replace("FOLDER", str(folder)), encoding="utf-8")
    return path


CPU = Machine("cpu")


@pytest.mark.parametrize("text", [FSRNET, PIX2PIXHD], ids=["fsrnet", "pix2pixhd"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_resuming_gives_the_same_bits_as_never_stopping(tmp_path: Path, folder: Path, text: str, precision: str) -> None:
    path = recipe(tmp_path, text, folder)
    whole = read_recipe(path, {"loop.precision": precision})
    run_training(whole, tmp_path / "whole", machine=CPU)
    for stop in (2, 5):
        job = prepare(whole)
        trainer = Trainer(job.objective, job.source, whole.loop, tmp_path / "parts", validation=job.validation, machine=CPU)
        trainer.resume()
        stopped = trainer._advance

        def advance(batch: Batch, progress: Any, trainer: Trainer = trainer, stop: int = stop, advance: Any = stopped) -> None:
            advance(batch, progress)
            trainer._stop = trainer.step >= stop

        trainer._advance = advance  # type: ignore[method-assign]
        assert trainer.fit() == stop
    run_training(whole, tmp_path / "parts", resume=True, machine=CPU)
    one, other = (checkpoint.load_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    assert one["step"] == other["step"] == 6
    assert same(one, other)
    assert (tmp_path / "whole" / "weights.safetensors").read_bytes() == (tmp_path / "parts" / "weights.safetensors").read_bytes()
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "history.jsonl").read_text().splitlines()]
    assert steps == [3, 6]


def test_trained_weights_serve_the_methods(tmp_path: Path, folder: Path) -> None:
    for text, method in ((FSRNET, FSRNet), (PIX2PIXHD, Pix2PixHD)):
        out = tmp_path / method.__name__
        summary = run_training(read_recipe(recipe(tmp_path, text, folder)), out, machine=CPU)
        assert summary["finished"]
        assert summary["faces_seen"] == 6 * (3 if method is FSRNet else 2)
        average = checkpoint.load_checkpoint(out / "last.pt")["average"]["net" if method is FSRNet else "generator"]
        written = load_file(out / "weights.safetensors")
        assert all(torch.equal(written[k], v.half() if v.dim() > 1 else v) for k, v in average.items())
        image = method.from_checkpoint(out / "weights.safetensors", size=32, scale=4).restore(torch.rand(2, 3, 8, 8))
        assert isinstance(image, Tensor)
        assert image.shape == (2, 3, 32, 32)
        assert {p.name for p in (out / "previews").iterdir()} == {"0000003.png", "0000006.png"}
        assert list((out / "tensorboard").iterdir())


def test_fsrnet_learns_a_small_set(tmp_path: Path, folder: Path) -> None:
    text = FSRNET.replace("residual = true", "residual = false")
    changes = {"loop.steps": "60", "loop.validate_every": "20", "loop.preview_every": "99"}
    run_training(read_recipe(recipe(tmp_path, text, folder), changes), tmp_path / "out", machine=CPU)
    history = [json.loads(line) for line in (tmp_path / "out" / "history.jsonl").read_text().splitlines()]
    assert [h["step"] for h in history] == [20, 40, 60]
    # in dB, on faces it did not see; the coarse net is the quick learner
    assert history[-1]["psnr_coarse"] > history[0]["psnr_coarse"] + 2
    assert history[-1]["psnr"] > history[0]["psnr"] + 0.2


class Line(Objective):
    """Fits y = a x; made to misbehave."""

    def __init__(self, break_at: int = 10**9, gradient: bool = False, stop_at: int = 10**9) -> None:
        super().__init__()
        self.net = nn.Linear(1, 1, bias=False)
        nn.init.ones_(self.net.weight)
        self.modules = {"net": self.net}
        self.optimisers = {"net": torch.optim.SGD(self.net.parameters(), lr=0.1)}
        self.break_at, self.gradient, self.stop_at = break_at, gradient, stop_at

    def phases(self, batch: Batch) -> Iterator[Phase]:
        loss = self.modules["net"](batch["hr"].mean().view(1, 1)).square().sum()
        if batch["step"] == self.break_at:
            loss = torch.sqrt(loss * 0) if self.gradient else loss / 0 * 0
        if batch["step"] == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)
        yield Phase("net", loss, {"part": loss})


def source(folder: Path, batch: int = 2) -> FaceBatches:
    return FaceBatches(load_faces([{"folder": str(folder)}], 32), batch, 4, Augment(), seed=3)


@pytest.mark.parametrize("gradient", [False, True])
def test_nan_stops_naming_step_and_batch_and_keeps_the_checkpoint(tmp_path: Path, folder: Path, gradient: bool) -> None:
    faces = source(folder)
    names = ", ".join(faces.batch(3)["names"])
    trainer = Trainer(Line(3, gradient), faces, Loop(steps=8, batch=2, save_minutes=0), tmp_path, machine=CPU)
    with pytest.raises(DivergedError) as told:
        trainer.fit()
    what = "the gradient of the loss 'net'" if gradient else "the loss 'net'"
    assert str(told.value).startswith(f"step 4: {what} is nan (part ")
    assert f"batch: {names}." in str(told.value)
    state = checkpoint.load_checkpoint(tmp_path / "last.pt")
    assert state["step"] == 3
    assert torch.isfinite(state["modules"]["net"]["weight"]).all()


def test_sigterm_ends_after_the_step_with_a_checkpoint(tmp_path: Path, folder: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    trainer = Trainer(Line(stop_at=4), source(folder), Loop(steps=50, batch=2), tmp_path, machine=CPU)
    assert trainer.fit() == 5
    assert checkpoint.load_checkpoint(tmp_path / "last.pt")["step"] == 5
    assert signal.getsignal(signal.SIGTERM) == before


def test_learning_rate_rises_holds_and_falls(tmp_path: Path) -> None:
    loop = Loop(steps=100, warmup=10, decay=50)
    assert [loop.factor(s) for s in (0, 4, 9, 30, 50)] == [0.1, 0.5, 1, 1, 1]
    assert loop.factor(75) == pytest.approx(0.5)
    assert loop.factor(99) == pytest.approx(0.02)
    cosine = Loop(steps=100, decay=50, decay_shape="cosine")
    assert cosine.factor(75) == pytest.approx(0.5)
    assert cosine.factor(87) > loop.factor(87) * 0.5
    assert Loop(steps=5).factor(4) == 1


def test_the_average_is_polyaks_and_the_trained_weights_come_back(tmp_path: Path, folder: Path) -> None:
    objective = Line()
    objective.averaged = ("net",)
    trainer = Trainer(objective, source(folder), Loop(steps=3, batch=2, average=0.5), tmp_path, machine=CPU)
    expected = float(objective.net.weight.detach())
    seen = []
    for step in range(3):
        trainer._advance({**trainer.source.batch(step), "step": step}, None)
        decay = min(0.5, (2 + step) / (11 + step))
        expected = decay * expected + (1 - decay) * float(objective.net.weight.detach())
        seen.append(float(objective.net.weight.detach()))
    assert float(trainer.average.values["net"]["weight"]) == pytest.approx(expected, rel=1e-6)
    with trainer.evaluating():
        assert float(objective.net.weight.detach()) == pytest.approx(expected, rel=1e-6)
    assert float(objective.net.weight.detach()) == seen[-1]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("clip = 1.0", "clipp = 1.0", "did you mean 'clip'"),
        ("width = 8", 'width = "8"', "must be a whole number"),
        ("steps = 6", "steps = 0", "steps. is 0"),
        ('name = "adamw"', 'name = "adamx"', "did you mean"),
        ("lr = 2e-3", "learning = 2e-3", "adamw cannot take"),
        ("scale = 4", "scales = 4", "did you mean 'scale'"),
        ("first = 8", "first = 7", "1 picture is in validation and training data"),
        ("log_every = 1", 'precision = "16-mixed"', "bf16-mixed"),
        ("residual = true", "residual = tru", "not valid TOML"),
        ('method = "fsrnet"', 'method = "fsrnett"', "did you mean 'fsrnet'"),
        # accepted, and nothing would look at it
        ('method = "fsrnet"', 'method = "fsrnet"\ntext = "mine"', "unknown key 'text'"),
        ("[optimiser]", "[loss]\nperceptual = 0.1\n[optimiser]", "perceptual is FSRGAN's, and adversarial is 0"),
        ("[optimiser]", "[loss]\nprior = 0.5\n[optimiser]", r"add \[data.prior\]"),
        ("first = 0", 'split = "val"', "'split' is a part of a data set"),
        ("first = 0", 'where = { kind = "a" }', "give it with 'csv'"),
        ("first = 0", 'dataset = "celeba-hq"', "not both"),
        ("first = 8", "first = 8\nrepeat = 2", "'repeat' is for training"),
        # a traceback before
        ("gain = 0.1", 'gain = 0.1\n[data.generated]\ndevice = "nosuch"', "device 'nosuch' cannot be had here"),
        ("size = 32", 'size = "large"', "must be a whole number"),
        ("last = 8", 'last = "eight"', "must be a whole number"),
        ("validate_every = 3", "validate_every = 0", "must be at least 1"),
        ("steps = 6", "steps = 6\nseed = -1", "must be at least 0"),
        ("shift = 2", "shift = -2", "must be at least 0"),
    ],
)
def test_wrong_recipes_get_one_sentence(tmp_path: Path, folder: Path, old: str, new: str, words: str) -> None:
    assert old in FSRNET
    with pytest.raises(FaceSRError, match=words) as told:
        run_training(read_recipe(recipe(tmp_path, FSRNET.replace(old, new, 1), folder)), tmp_path / "out", machine=CPU)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--minutes 0", "give more than 0"),
        ("--threads 0", "give 1 or more"),
        ("--accelerator nosuch", "--accelerator nosuch --devices auto --strategy auto cannot be had here"),
        ("--devices nosuch", "cannot be had here"),
        ("--best --set data.validation=[]", "has no faces to validate on"),
    ],
)
def test_options_that_cannot_act_are_refused(
    words: str, said: str, tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recipe(tmp_path, FSRNET, folder)
    assert main(["train", "fsrnet", "--recipe", str(path), "--out", str(tmp_path / "out"), *words.split()]) == 2
    assert said in capsys.readouterr().err
    assert main(["train", "--all", "--minutes", "1", "--resume", "--out", str(tmp_path / "all")]) == 2
    assert "leave out --resume" in capsys.readouterr().err


def test_what_nothing_would_look_at_in_a_pix2pixhd_recipe_is_refused(tmp_path: Path, folder: Path) -> None:
    for old, new, words in (
        ("ndf = 4", "ndf = 4\nn_enhancers = 2", "give kind = 'local'"),
        ("ndf = 4", "ndf = 4\nndf_boxes = 8", "there are none"),
        ("gan_from = 2", "fix_global = 2", "fix_global trains the local enhancer"),
        ("[optimiser.generator]", "[optimiser]\nlr = 1.0\n[optimiser.generator]", r"\[optimiser\] has 'lr'"),
    ):
        with pytest.raises(FaceSRError, match=words):
            prepare(read_recipe(recipe(tmp_path, PIX2PIXHD.replace(old, new, 1), folder)))


def test_the_best_is_chosen_without_lpips_too(tmp_path: Path, folder: Path) -> None:
    """By PSNR then: before, --best gave the last step's weights without a word."""
    path = recipe(tmp_path, PIX2PIXHD, folder)
    summary = run_training(read_recipe(path), tmp_path / "out", machine=CPU, best=True)
    scores = [json.loads(line)["psnr"] for line in (tmp_path / "out/history.jsonl").read_text().splitlines()]
    assert summary["best"] == pytest.approx(max(scores)) and (tmp_path / "out/best.pt").is_file()


def test_a_recipe_without_vgg_weights_says_so(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(FaceSRError, match="vgg_weights names no file"):
        run_training(read_recipe(recipe(tmp_path, PIX2PIXHD.replace("vgg = 0.0", ""), folder)), tmp_path / "out", machine=CPU)


def test_broken_checkpoints_and_full_folders_get_one_sentence(tmp_path: Path, folder: Path) -> None:
    path = recipe(tmp_path, FSRNET, folder)
    with pytest.raises(FaceSRError, match="no checkpoint to resume from"):
        run_training(read_recipe(path), tmp_path / "out", resume=True, machine=CPU)
    (tmp_path / "out" / "last.pt").write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(FaceSRError, match="cannot be read as a checkpoint"):
        run_training(read_recipe(path), tmp_path / "out", resume=True, machine=CPU)
    with pytest.raises(FaceSRError, match="--resume"):
        run_training(read_recipe(path), tmp_path / "out", machine=CPU)
    run_training(read_recipe(path, {"loop.steps": "1"}), tmp_path / "one", machine=CPU)
    with pytest.raises(FaceSRError, match="does not fit this recipe"):
        run_training(read_recipe(path, {"net.width": "12"}), tmp_path / "one", resume=True, machine=CPU)


def test_checkpoints_hold_no_code_and_appear_whole(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"step": 1, "x": torch.ones(2)})
    assert torch.load(path, weights_only=True)["step"] == 1
    with pytest.raises(Exception, match=r"pickle|local object"):  # Python 3.13 says the second
        checkpoint.save(path, {"step": 2, "x": lambda: None})
    assert checkpoint.load_checkpoint(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_the_command_trains_resumes_and_reports(tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path, out = recipe(tmp_path, FSRNET, folder), tmp_path / "out"
    words = ["train", "fsrnet", "--recipe", str(path), "--out", str(out), "--set", "loop.steps=4"]
    assert main([*words, "--max-minutes", "1e-9"]) == 1
    assert main([*words, "--resume", "--best"]) == 0
    printed = capfd.readouterr()
    assert "fsrnet: step 4 of 4" in printed.out
    assert "ETA" in printed.err
    assert main(words) == 2
    assert main(["train", "fsrnett", "--out", str(out)]) == 2
    assert main(["train", "pix2pixhd", "--recipe", str(path), "--out", str(out)]) == 2
    assert main([*words, "--set", "loop.steps"]) == 2
    errors = capfd.readouterr().err
    assert "--resume" in errors
    assert "did you mean 'fsrnet'" in errors
    assert "recipe for 'fsrnet'" in errors


def test_every_shipped_recipe_is_read() -> None:
    from facesr import methods

    found = sorted(Path(methods.__file__).parent.glob("*/recipes/*.toml"))
    assert {"fsrnet", "pix2pixhd"} <= {p.parent.parent.name for p in found}
    for path in found:
        held = read_recipe(path)
        named = [str(table.get("folder", table.get("dataset"))) for table in held.data.get("train", [])]
        assert not any("london" in name or "demo" in name for name in named), path  # those faces are for measuring


def test_loops_values_are_typed() -> None:
    with pytest.raises(FaceSRError, match=r"steps. is true"):
        from_table(Loop, {"steps": True}, "[loop]")
    with pytest.raises(FaceSRError, match=r"average. is 1\.5"):
        from_table(Loop, {"steps": 1, "average": 1.5}, "[loop]")
    assert expand("~/x").is_absolute()
