"""Every option of ``facesr train`` and every key of a recipe has a line here that gives it once, so that weights, history, pictures or what
is printed differ, or it is refused. That each has a line is tested always; the lines are carried out with ``-m slow``.

The nets have a few channels, the faces 32 pixels, the trainings two steps.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from looking import Case, Refused, Seen, acts, look, options
from torchvision.models import squeezenet1_1
from torchvision.models.vgg import cfgs, make_layers

from facesr.bench.imaging import write_png
from facesr.cli import main
from facesr.methods.fsrnet.net import Sizes
from facesr.methods.fsrnet.objective import FSRNetLosses
from facesr.methods.fsrnet.priors import PriorOptions
from facesr.methods.generators.stylegan2 import StyleGAN2
from facesr.methods.generators.training import GeneratorData, GeneratorLosses
from facesr.methods.pix2pixhd.training import Pix2PixHDLosses, Pix2PixHDSizes
from facesr.methods.psp.encoders import EncoderConfig
from facesr.methods.psp.faces import PSPData, Recombination
from facesr.methods.psp.training import Net, PSPLosses
from facesr.methods.training import Loop, Recipe, Trainer
from facesr.methods.training.data import Augment, FaceTable
from facesr.methods.training.generated import Generated
from facesr.methods.training.identity import MobileFaceNet
from facesr.methods.training.job import FaceData
from facesr.methods.training.progress import TrainingProgress
from helpers import demo_faces, faces

LOOP = """
about = "for tests"
[loop]
steps = 2
batch = 2
validate_every = 1
preview_every = 2
log_every = 1
"""
DATA = """
[data]
size = 32
scale = 4
augment = { flip = false }
train = [{ folder = "hr", first = 2 }]
validation = [{ folder = "hr", last = 2 }]
"""
ADAM = '{ name = "adam", lr = 1e-3 }'
RECIPES = {
    "fsrnet": f"""
method = "fsrnet"
optimiser = {ADAM}
{LOOP}{DATA}
[net]
width = 4
coarse_width = 4
deconv_widths = [4]
prior_width = 4
coarse_blocks = 1
encoder_blocks = 1
decoder_blocks = 1
hourglasses = 1
hourglass_depth = 1
landmarks = 0
parsing = 0
""",
    "pix2pixhd": f"""
method = "pix2pixhd"
optimiser = {{ generator = {ADAM}, discriminator = {ADAM} }}
{LOOP}{DATA}
[net]
ngf = 4
n_down = 2
n_blocks = 1
ndf = 4
n_layers = 1
num_d = 1
[loss]
vgg = 0.0
l1 = 1.0
""",
    "psp": f"""
method = "psp"
optimiser = {ADAM}
{LOOP}
[data]
size = 32
factors = [2, 4]
real = 1
augment = {{ flip = false }}
train = [{{ folder = "hr", first = 2 }}]
validation = [{{ folder = "hr", last = 1 }}]
[net]
generator = "tiny.pt"
input_size = 32
channels = [4, 4, 8, 8]
depths = [1, 1, 1, 1]
width = 4
head = 4
[loss]
lpips = 0.0
identity = 0.0
latent = 1.0
""",
}
TRAIN = "train fsrnet --recipe fsrnet.toml --out made --threads 1"
GAN = "loss.adversarial=0.1 loss.discriminator_widths=[4]"
PRIOR = "net.landmarks=5 data.prior.kind=landmarks data.prior.path=points.csv"
LOCAL = "net.kind=local net.n_blocks_local=1"
LPIPS = "loss.lpips=1.0 loss.trunk=squeeze loss.trunk_weights=./squeeze.pth"
OURS = "loss.lpips=1.0 loss.lpips_trunk=squeeze loss.lpips_weights=./squeeze.pth"
IDENTITY = "loss.identity=1.0 loss.identity_weights=./mobilefacenet.pt"
CSV = 'data.train=[{folder="hr",csv="list.csv"%s}]'
FILES = 'data.latents=codes.npz data.synthetic=[{folder="synthetic"}]'
BETWEEN = " ".join(f"data.recombined.{name}" for name in ("folder=between", "faces=1", "steps=1", "batch=1", "found=1"))
RECOMBINED = f"loss.linear=1.0 loop.batch=4 {BETWEEN} {LPIPS}"
DRAWN = "data.generated.generator=tiny.pt data.generated.held_out=1"

OPTIONS: dict[str, Case] = {
    "train method": ("train {} --recipe fsrnet.toml --out made", "", Refused("psp", "is a recipe for 'fsrnet'")),
    "train --recipe": (TRAIN.replace("fsrnet.toml", "{}"), "fsrnet.toml", "other.toml"),
    "train --data": (TRAIN, "", "--data more"),
    "train --start": (TRAIN, "", "--start begun.safetensors"),
    "train --all": ("train --out made", "", Refused("--all", "add --minutes")),
    "train --out": (TRAIN.replace("made", "{}"), "made", "other"),
    "train --resume": (TRAIN, "", Refused("--resume", "no checkpoint to resume from")),
    "train --max-minutes": (TRAIN, "", "--minutes 1e-9"),
    "train --set": (TRAIN, "", "--set loop.steps=3"),
    "train --best": (f"{TRAIN} --set optimiser.lr=0.5 --set loop.steps=3", "", "--best"),
    "train --accelerator": (TRAIN, "", Refused("--accelerator nosuch", "cannot be had here")),
    "train --devices": (TRAIN, "", Refused("--devices nosuch", "cannot be had here")),
    "train --strategy": (TRAIN, "", Refused("--strategy nosuch", "cannot be had here")),
    "train --threads": (TRAIN.replace("threads 1", "threads {}"), "1", "2"),
}

Key = tuple[str, str, str | Refused]
"""Settings that both trainings have, those of the first alone, those of the second (or the refusal), each ``key=value`` apart by spaces."""

FSRNET: dict[str, Key] = {
    "method": ("", "", Refused("method=psp", "is a recipe for 'psp'")),
    "about": ("", "", Refused("about=[1]", "about")),  # else it is part of what a weight file repeats of its recipe, no more
    "optimiser": ("", "", "optimiser.name=adamw"),
    "loop.steps": ("", "", "loop.steps=3"),
    "loop.batch": ("", "", "loop.batch=3"),
    "loop.seed": ("", "", "loop.seed=7"),
    "loop.precision": ("", "", "loop.precision=bf16-mixed"),
    "loop.channels_last": ("", "", "loop.channels_last=false"),
    "loop.average": ("", "", "loop.average=0.9"),
    "loop.clip": ("", "", "loop.clip=0.001"),
    "loop.warmup": ("", "", "loop.warmup=2"),
    "loop.decay": ("", "", "loop.decay=2"),
    "loop.decay_shape": ("loop.decay=2 loop.steps=3", "", "loop.decay_shape=cosine"),
    "loop.validate_every": ("", "", "loop.validate_every=2"),
    "loop.preview_every": ("", "", "loop.preview_every=1"),
    "loop.log_every": ("", "", "loop.log_every=2"),
    "loop.save_minutes": ("", "", "loop.save_minutes=0.0"),
    "net.width": ("", "", "net.width=6"),
    "net.coarse_width": ("", "", "net.coarse_width=6"),
    "net.deconv_widths": ("", "", "net.deconv_widths=[4,4]"),
    "net.prior_width": ("", "", "net.prior_width=6"),
    "net.coarse_blocks": ("", "", "net.coarse_blocks=2"),
    "net.encoder_blocks": ("", "", "net.encoder_blocks=2"),
    "net.decoder_blocks": ("", "", "net.decoder_blocks=2"),
    "net.prior_blocks": ("", "", "net.prior_blocks=1"),
    "net.hourglasses": ("", "", "net.hourglasses=2"),
    "net.hourglass_depth": ("", "", "net.hourglass_depth=2"),
    "net.landmarks": ("", "", "net.landmarks=3"),
    "net.parsing": ("", "", "net.parsing=3"),
    "net.shared": ("net.encoder_blocks=2", "", "net.shared=true"),
    "net.fuse": ("net.landmarks=3", "", "net.fuse=maps"),
    "net.deconv_kernel": ("", "", "net.deconv_kernel=4"),
    "net.norm": ("", "", "net.norm=instance"),
    "net.residual": ("", "", "net.residual=true"),
    "net.start": ("", "", "net.start=begun.safetensors"),
    "loss.coarse": ("", "", "loss.coarse=0.3"),
    "loss.image": ("", "", "loss.image=0.3"),
    "loss.prior": (PRIOR, "", "loss.prior=0.3"),
    "loss.perceptual": (f"{GAN} loss.perceptual_weights=./vgg16.pth", "", "loss.perceptual=1.0"),
    "loss.perceptual_weights": (f"{GAN} loss.perceptual=1.0", "", Refused("loss.perceptual_weights=nosuch.pth", "nosuch.pth")),
    "loss.adversarial": ("", "", "loss.adversarial=0.1"),
    "loss.discriminator_widths": (GAN, "", "loss.discriminator_widths=[6]"),
    "data.size": ("", "", "data.size=16"),
    "data.scale": ("", "", "data.scale=2"),
    "data.train": ("", "", 'data.train=[{folder="more"}]'),
    "data.validation": ("", "", 'data.validation=[{folder="hr",last=1}]'),
    "data.augment.flip": ("", "", "data.augment.flip=true"),
    "data.augment.shift": ("", "", "data.augment.shift=2"),
    "data.augment.gain": ("", "", "data.augment.gain=0.1"),
    "data.augment.colour": ("", "", "data.augment.colour=0.1"),
    "data.augment.offset": ("", "", "data.augment.offset=0.1"),
    "data.augment.darken": ("", "", "data.augment.darken=0.3"),
    "data.generated.generator": (DRAWN, "", "data.generated.generator=tiny2.pt"),
    "data.generated.share": (f"{DRAWN} loop.batch=4", "", "data.generated.share=0.25"),
    "data.generated.held_out": (f"{DRAWN} data.validation=[]", "", "data.generated.held_out=2"),
    "data.generated.psi": (DRAWN, "", "data.generated.psi=[0.1,0.2]"),
    "data.generated.device": (DRAWN, "", Refused("data.generated.device=nosuch", "nosuch")),
    "data.prior.kind": (PRIOR, "", Refused("data.prior.kind=labels", "no such folder")),
    "data.prior.path": (PRIOR, "", "data.prior.path=points2.csv"),
    "data.prior.mirror": (f"{PRIOR} data.augment.flip=true data.prior.mirror=[1,0,2,4,3]", "", "data.prior.mirror=[0,1,2,3,4]"),
    "data.prior.sigma": (PRIOR, "", "data.prior.sigma=9.0"),
    "data.train.folder": ("", "", 'data.train=[{folder="more",first=2}]'),
    "data.train.csv": ("", "", CSV % ""),
    "data.train.column": (CSV % "", "", CSV % ',column="second"'),
    "data.train.where": (CSV % "", "", CSV % ',where={kind="b"}'),
    "data.train.dataset": ("", "", Refused('data.train=[{dataset="nosuch"}]', "nosuch")),
    "data.train.split": ("", "", Refused('data.train=[{folder="hr",split="val"}]', "'split' is a part of a data set")),
    "data.train.first": ("", "", 'data.train=[{folder="hr",first=3}]'),
    "data.train.last": ("", "", 'data.train=[{folder="hr",first=2,last=4}]'),
    "data.train.repeat": ("", "", 'data.train=[{folder="hr",first=2,repeat=2}]'),
}
PIX2PIXHD: dict[str, Key] = {
    "net.kind": ("", "", LOCAL),
    "net.ngf": ("", "", "net.ngf=6"),
    "net.n_down": ("", "", "net.n_down=1"),
    "net.n_blocks": ("", "", "net.n_blocks=2"),
    "net.n_enhancers": (LOCAL, "", "net.n_enhancers=2"),
    "net.n_blocks_local": (LOCAL, "", "net.n_blocks_local=2"),
    "net.norm": ("", "", "net.norm=batch"),
    "net.ndf": ("", "", "net.ndf=6"),
    "net.n_layers": ("", "", "net.n_layers=2"),
    "net.num_d": ("", "", "net.num_d=2"),
    "net.norm_d": ("", "", "net.norm_d=batch"),
    "net.boxes": ("", "", "net.boxes=[[4,4,16,16]]"),
    "net.ndf_boxes": ("net.boxes=[[4,4,16,16]]", "", "net.ndf_boxes=4"),
    "net.first": ("", "", "net.first=stage.safetensors"),
    "net.start": ("", "", "net.start=begun2.safetensors"),
    "net.strength": ("net.first=stage.safetensors net.start=begun2.safetensors", "", "net.strength=0.5"),
    "loss.gan": ("", "", "loss.gan=0.2"),
    "loss.least_squares": ("", "", "loss.least_squares=false"),
    "loss.feature_matching": ("", "", "loss.feature_matching=1.0"),
    "loss.vgg": ("loss.vgg_weights=./vgg19.pth", "", "loss.vgg=1.0"),
    "loss.vgg_weights": ("loss.vgg=1.0", "", Refused("loss.vgg_weights=nosuch.pth", "nosuch.pth")),
    "loss.lpips": ("", "", OURS),
    "loss.lpips_trunk": (OURS, "", Refused("loss.lpips_trunk=alex", "alexnet of torchvision: the weights do not fit")),
    "loss.lpips_weights": (OURS, "", Refused("loss.lpips_weights=nosuch.pth", "nosuch.pth")),
    "loss.lpips_crop": (OURS, "", "loss.lpips_crop=24"),
    "loss.lpips_faces": (OURS, "", "loss.lpips_faces=1"),
    "loss.l1": ("", "", "loss.l1=2.0"),
    "loss.consistency": ("", "", "loss.consistency=2.0"),
    "loss.identity": ("", "", IDENTITY),
    "loss.identity_weights": (IDENTITY, "", Refused("loss.identity_weights=nosuch.pt", "nosuch.pt")),
    "loss.identity_faces": (IDENTITY, "", "loss.identity_faces=1"),
    "loss.gan_from": ("", "", "loss.gan_from=1"),
    "loss.fix_global": (LOCAL, "", "loss.fix_global=1"),
    "loss.stages": ("", "", "loss.stages=[{from=1,l1=9.0}]"),
}
PSP: dict[str, Key] = {
    "net.generator": ("", "", "net.generator=tiny2.pt"),
    "net.start_faces": ("", "", "net.start_faces=40"),
    "net.start": ("", "", "net.start=begun3.safetensors"),
    "net.frozen_norms": ("", "", "net.frozen_norms=true"),
    "net.kind": ("", "", "net.kind=BackboneEncoderUsingLastLayerIntoW"),
    "net.n_styles": ("", "", Refused("net.n_styles=4", "n_styles is 4, and the generator's is 8")),
    "net.mode": ("", "", "net.mode=ir"),
    "net.taps": ("", "", "net.taps=largest"),
    "net.coarse": ("", "", "net.coarse=1"),
    "net.middle": ("", "", "net.middle=4"),
    "net.input_size": ("", "", "net.input_size=64"),
    "net.channels": ("", "", "net.channels=[4,4,8,12]"),
    "net.depths": ("", "", "net.depths=[1,1,1,2]"),
    "net.width": ("", "", "net.width=6"),
    "net.head": ("", "", "net.head=6"),
    "net.style_dim": ("", "", Refused("net.style_dim=16", "style_dim is 16, and the generator's is 512")),
    "loss.l2": ("", "", "loss.l2=0.2"),
    "loss.l2_crop": ("", "", "loss.l2_crop=1.0"),
    "loss.consistency": ("", "", "loss.consistency=1.0"),
    "loss.lpips": ("", "", LPIPS),
    "loss.identity": ("", "", IDENTITY),
    "loss.w_norm": ("", "", "loss.w_norm=1.0"),
    "loss.linear": (RECOMBINED, "", "loss.linear=2.0"),
    "loss.latent": ("", "", "loss.latent=0.1"),
    "loss.trunk": (LPIPS, "", Refused("loss.trunk=alex", "alexnet of torchvision: the weights do not fit")),
    "loss.trunk_weights": (LPIPS, "", Refused("loss.trunk_weights=nosuch.pth", "nosuch.pth")),
    "loss.identity_weights": (IDENTITY, "", Refused("loss.identity_weights=nosuch.pt", "nosuch.pt")),
    "loss.images_from": ("", "", "loss.images_from=1"),
    "loss.images": ("", "", "loss.images=1"),
    "data.size": ("", "", Refused("data.size=16", "size is 16, and the generator's is 32")),
    "data.factors": ("", "", "data.factors=[4]"),
    "data.kernel": ("", "", "data.kernel=box"),
    "data.real": ("", "", "data.real=2"),
    "data.augment": ("", "", "data.augment.gain=0.1"),
    "data.latents": ("", "", FILES),
    "data.psi": ("", "", "data.psi=[0.1,0.2]"),
    "data.device": ("", "", Refused("data.device=nosuch", "nosuch")),
    "data.train": ("", "", 'data.train=[{folder="more"}]'),
    "data.synthetic": ("", "", Refused('data.synthetic=[{folder="synthetic"}]', "go together")),
    "data.validation": ("", "", 'data.validation=[{folder="more",last=1}]'),
    "data.recombined.folder": (RECOMBINED, "", "data.recombined.folder=elsewhere"),
    "data.recombined.faces": (RECOMBINED, "", "data.recombined.faces=257"),
    "data.recombined.steps": (RECOMBINED, "", "data.recombined.steps=8"),
    "data.recombined.batch": (RECOMBINED, "", "data.recombined.batch=2"),
    "data.recombined.found": (RECOMBINED, "", "data.recombined.found=2"),
}
KEYS = {"fsrnet": FSRNET, "pix2pixhd": PIX2PIXHD, "psp": PSP}


def names(kind: Any, before: str) -> Iterator[str]:
    """Keys of a table."""
    yield from (before + field.name for field in dataclasses.fields(kind) if field.init)


def test_the_walk_knows_every_key_of_a_recipe() -> None:
    """A new key needs a line."""
    whole = {name for name in names(Recipe, "") if name not in ("loop", "net", "loss", "data")}
    data = {name for name in names(FaceData, "data.") if name not in ("data.augment", "data.generated")}
    assert set(FSRNET) == {
        *whole, *data, *names(Loop, "loop."), *names(Sizes, "net."), "net.start", *names(FSRNetLosses, "loss."), *names(Augment, "data.augment."),
        *names(Generated, "data.generated."), *names(PriorOptions, "data.prior."), *names(FaceTable, "data.train."),
    }  # fmt: skip
    assert set(PIX2PIXHD) == {*names(Pix2PixHDSizes, "net."), *names(Pix2PixHDLosses, "loss.")}
    psp = {name for name in names(PSPData, "data.") if name != "data.recombined"}
    assert set(PSP) == {
        *names(Net, "net."), *names(EncoderConfig, "net."), *names(PSPLosses, "loss."), *psp, *names(Recombination, "data.recombined."),
    }  # fmt: skip
    assert {*names(GeneratorLosses, ""), *names(GeneratorData, "")} == {
        *("l2", "l1", "lpips", "trunk", "trunk_weights", "latents", "psi", "held_out", "synthetic")
    }, "the generator's own training needs its teacher's files: its keys are listed here, and no test carries them out"


def test_the_walk_knows_every_option_of_train() -> None:
    """A new option needs a line."""
    assert set(options("train")) == set(OPTIONS)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces, tiny networks, tables, and weights to begin with."""
    home = tmp_path_factory.mktemp("training")
    faces(home / "hr", 6, 32)
    (home / "more").mkdir()
    for i, face in enumerate(demo_faces()[:4]):
        write_png(home / f"more/{i}.png", face[:32, 48:80])
    for method, text in RECIPES.items():
        (home / f"{method}.toml").write_text(text)
    (home / "other.toml").write_text(RECIPES["fsrnet"].replace("width = 4", "width = 8"))
    torch.manual_seed(0)
    torch.save(squeezenet1_1(weights=None).features.state_dict(), home / "squeeze.pth")
    net = MobileFaceNet()
    for part in net.modules():  # statistics of one batch: at random weights without them all faces are alike
        if isinstance(part, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            part.momentum = 1.0
    net(torch.randn(4, 3, 112, 112))
    torch.save(net.state_dict(), home / "mobilefacenet.pt")
    for name, layers in (("vgg16", "D"), ("vgg19", "E")):
        trunk = make_layers(cfgs[layers], batch_norm=False)
        for part in trunk:  # torch's own start leaves nothing of an image after so many layers
            if isinstance(part, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(part.weight)
        torch.save(trunk.state_dict(), home / f"{name}.pth")
    for name in ("tiny", "tiny2"):
        drawn = StyleGAN2(32, channels=dict.fromkeys((4, 8, 16, 32), 4), n_mlp=1)
        torch.save({"g_ema": drawn.to_layout("rosinality")}, home / f"{name}.pt")
    large = tmp_path_factory.mktemp("large")
    for weights in [*home.glob("*.pt"), *home.glob("*.pth")]:  # linked, not copied for each look
        (home / weights.name).symlink_to(weights.rename(large / weights.name))
    rng = np.random.default_rng(0)
    for k in (1, 2):
        rows = [",".join([f"{i:03d}", *(f"{v:.2f}" for v in rng.uniform(2, 29, 10))]) for i in range(6)]
        (home / f"points{'' if k == 1 else 2}.csv").write_text("name,x,y\n" + "\n".join(rows))
    (home / "list.csv").write_text("file,second,kind\n002.png,003.png,a\n004.png,005.png,b\n003.png,002.png,b\n")
    (home / "synthetic").mkdir()
    for i in range(2):
        write_png(home / f"synthetic/{i}.png", demo_faces()[i][:32, 48:80])
    np.savez(home / "codes.npz", w=rng.normal(size=(2, 512)).astype(np.float32))
    first = {"begun": "fsrnet", "begun2": "pix2pixhd", "begun3": "psp", "stage": "fsrnet"}
    for name, method in first.items():
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(home)
            words = ["--set", "loop.seed=5", "--set", "loop.steps=1", *(["--set", "net.residual=true"] if name == "stage" else [])]
            assert main(["train", method, "--recipe", f"{method}.toml", "--out", "first", "--threads", "1", *words]) == 0
        (home / "first/weights.safetensors").rename(home / f"{name}.safetensors")
        shutil.rmtree(home / "first")
    return home


@pytest.fixture(scope="module")
def seen_before() -> dict[str, Seen]:
    """What the trainings without the change gave."""
    return {}


@pytest.fixture(autouse=True)
def spied(monkeypatch: pytest.MonkeyPatch) -> None:
    """What leaves no plain trace in files is printed: checkpoints on the way, how images lie in memory, what TensorBoard is given."""
    save, advance, step = Trainer.save, Trainer._advance, TrainingProgress.step

    def saved(self: Trainer, name: str = "last.pt") -> None:
        print("saved", name, self.step)
        save(self, name)

    def advanced(self: Trainer, batch: Any, progress: Any) -> None:
        print("channels last", batch["hr"].is_contiguous(memory_format=torch.channels_last))
        advance(self, batch, progress)

    def stepped(self: TrainingProgress, number: int, scalars: dict[str, float], rates: dict[str, float], board: bool) -> None:
        print(number, *(f"{name} {value:.6g}" for name, value in (scalars | rates).items()), "on the board" * board)
        step(self, number, scalars, rates, board)

    monkeypatch.setattr(TrainingProgress, "step", stepped)
    monkeypatch.setattr(Trainer, "save", saved)
    monkeypatch.setattr(Trainer, "_advance", advanced)


Walk = tuple[Path, Path, pytest.MonkeyPatch, pytest.CaptureFixture[str]]


@pytest.mark.slow
@pytest.mark.parametrize("option", list(OPTIONS))
def test_an_option_of_train_acts_or_is_refused(
    option: str, world: Path, seen_before: dict[str, Seen], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    acts(OPTIONS[option], lambda line: look(line, world, tmp_path / "w", monkeypatch, capsys), seen_before)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "key"), [(m, k) for m, table in KEYS.items() for k in table])
def test_a_key_of_a_recipe_acts_or_is_refused(
    method: str, key: str, world: Path, seen_before: dict[str, Seen], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    both, before, after = KEYS[method][key]

    def given(settings: str) -> str:
        return " ".join(f"--set '{one}'" for one in settings.split())

    line = f"train {method} --recipe {method}.toml --out made --threads 1 {given(both)}".strip()
    words = Refused(given(after.words), after.says) if isinstance(after, Refused) else given(after)
    acts((line, given(before), words), lambda line: look(line, world, tmp_path / "w", monkeypatch, capsys), seen_before)
