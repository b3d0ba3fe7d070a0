"""Training pSp: the closed-form start is the best linear encoder, batches are what the recipe says, an update helps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import to_uint8, write_png
from facesr.methods.generators.base import Generator
from facesr.methods.generators.mobilestylegan128 import MobileStyleGAN128
from facesr.methods.psp import recombine
from facesr.methods.psp.encoders import EncoderConfig, GradualStyleEncoder, build_encoder
from facesr.methods.psp.faces import PSPFaces
from facesr.methods.psp.linear import Descent, LinearLosses, Quadratic
from facesr.methods.psp.preprocess import from_lr
from facesr.methods.psp.start import linear_start
from facesr.methods.psp.training import PSPObjective, StyleDistance, prepare, style_maps
from facesr.methods.training.identity import MobileFaceNet
from facesr.methods.training.recipe import Loop, Recipe, read_recipe
from helpers import demo_faces

TINY = EncoderConfig(
    n_styles=3, input_size=32, coarse=1, middle=2, channels=(4, 16, 32, 48), depths=(1, 1, 2, 1), width=32, head=32, style_dim=16
)


def linear_faces(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Smooth pictures of a code of twelve numbers, and codes of sixteen that are a linear map of it."""
    draw = torch.Generator().manual_seed(1)
    hidden = torch.randn(n, 12, generator=draw)
    patterns = torch.nn.functional.interpolate(torch.randn(12, 3, 4, 4, generator=draw), 32, mode="bilinear")
    images = torch.einsum("nk,kchw->nchw", hidden, patterns) * 0.2
    return images, hidden @ torch.randn(12, 16, generator=draw) + 0.3


def test_the_start_finds_a_linear_relation() -> None:
    torch.manual_seed(0)
    x, codes = linear_faces(600)
    encoder = build_encoder(TINY)
    assert isinstance(encoder, GradualStyleEncoder)
    forms = torch.eye(16).expand(3, -1, -1)
    linear_start(encoder, x[:500], codes[:500], forms)
    with torch.no_grad():
        fitted = encoder(x[500:])
    unexplained = (fitted - codes[500:, None]).square().sum() / (codes[500:, None] - codes.mean(0)).square().sum() / 3
    assert unexplained < 0.02


def test_style_distance_is_one_at_the_mean_and_nought_at_the_truth() -> None:
    generator = MobileStyleGAN128.from_checkpoint()
    distance = StyleDistance(generator)
    w = generator.map(torch.randn(400, 512, generator=torch.Generator().manual_seed(7)))[:, None].expand(-1, 16, -1)
    assert distance(generator.mean_style.expand(400, 16, 512), w).mean() == pytest.approx(1, abs=0.05)
    assert distance(w, w).abs().max() == 0
    maps = style_maps(generator)
    assert [len(a) for a in maps] == [512] + [512, 128, 512] * 4 + [512, 128, 256]


def test_other_generators_are_measured_by_their_codes() -> None:
    class Plain(Generator):
        size, n_styles = 8, 2

        def __init__(self) -> None:
            super().__init__()
            self.gain = torch.nn.Parameter(torch.ones(()))

        def map(self, z: torch.Tensor) -> torch.Tensor:
            return 3 * z

    codes = torch.zeros(1, 2, 512)
    assert StyleDistance(Plain())(codes, codes + 3).item() == pytest.approx(1, rel=0.05)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe names, small: demo faces as the real ones, faces of the default generator with their codes, networks with random weights."""
    from torchvision.models import squeezenet1_1

    root = tmp_path_factory.mktemp("material")
    for name in ("weights", "faces/congress128", "faces/synthetic128"):
        (root / name).mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(squeezenet1_1(weights=None).features.state_dict(), root / "weights/squeezenet1_1_features.pth")
    torch.save(MobileFaceNet().state_dict(), root / "weights/mobilefacenet.pt")
    rows = ["file,strict,colour"]
    for i, face in enumerate(demo_faces()):
        write_png(root / f"faces/congress128/{i}.png", face)
        rows.append(f"{i}.png,{int(i < 5)},1")
    (root / "faces/congress128.csv").write_text("\n".join(rows))
    generator = MobileStyleGAN128.from_checkpoint()
    w = generator.map(torch.randn(5, 512, generator=torch.Generator().manual_seed(5)))
    for i, image in enumerate(to_uint8(generator.synthesize(w).add(1).div(2).clamp(0, 1)), start=10):
        write_png(root / f"faces/synthetic128/{i:05d}.png", image)
    np.savez(root / "faces/synthetic128.npz", w=np.concatenate([np.zeros((10, 512)), w.numpy()]).astype(np.float16))
    return root


@pytest.fixture
def recipe(material: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setenv("FACESR_FIXTURES", str(material))
    default = read_recipe(Path(__file__).parents[3] / "methods/psp/recipes/psp-128-images.toml")
    net = {k: v for k, v in default.net.items() if k != "start"} | {"width": 16, "head": 16, "channels": [8, 8, 16, 16]}
    data = {
        **{k: v for k, v in default.data.items() if k != "recombined"},
        "real": 1,
        "train": [{**default.data["train"][0], "last": 3}],
        "synthetic": [{**default.data["synthetic"][0], "first": 0, "last": 4}],
        "validation": [{**default.data["validation"][0], "last": 1}],
    }
    loss = {**default.loss, "images": 2, "linear": 0.0}
    return Recipe("psp", Loop(steps=2, batch=3), net, loss, default.optimiser, data)


def test_a_batch_is_a_function_of_the_step(recipe: Recipe) -> None:
    source = prepare(recipe).source
    one, again, other = source.batch(4), source.batch(4), source.batch(5)
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not torch.equal(one["hr"], other["hr"])
    assert one["known"].tolist() == [False, True, True]
    assert one["given"].shape == (3, 3, 32, 32)
    assert one["hr"].shape == (3, 3, 128, 128)


def test_real_faces_are_changed_as_the_recipe_says(recipe: Recipe) -> None:
    recipe.data.update(augment={"flip": False, "shift": 0})
    plain = prepare(recipe).source.batch(4)["hr"][0]
    recipe.data.update(augment={"flip": False, "gain": 0.5})
    lighter = prepare(recipe).source.batch(4)["hr"][0]
    assert not torch.equal(plain, lighter)
    with pytest.raises(FaceSRError, match=r"\[data\.augment\]: unknown key .gian."):
        recipe.data.update(augment={"gian": 1.0})
        prepare(recipe)


def test_a_loss_without_a_weight_is_not_computed_and_the_crop_is_the_published_one(recipe: Recipe) -> None:
    recipe.loss.update(lpips=0.0, identity=0.0, consistency=0.0, l2_crop=2.0)
    job = prepare(recipe)
    phase = next(job.objective.phases({**job.source.batch(0), "step": 0}))
    assert set(phase.scalars) == {"w_norm", "latent", "l2", "l2_crop"}
    image, target = torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 128, 128)
    target[..., :18, :] = target[..., 112:, :] = target[..., :16] = target[..., 110:] = 1  # [35:223, 32:220] of 256, at 128
    assert job.objective._loss("l2_crop", image, target).item() == 0  # type: ignore[attr-defined]
    target[..., 60, 60] = 1
    assert job.objective._loss("l2_crop", image, target).item() == pytest.approx(1 / (94 * 94))  # type: ignore[attr-defined]


def test_a_stage_begins_with_the_weights_of_the_one_before(recipe: Recipe, tmp_path: Path) -> None:
    from facesr.methods.training import export

    first = prepare(recipe)
    export.write_weights(tmp_path / "first.safetensors", *first.objective.export(), half=False)
    recipe.net.update(start=str(tmp_path / "first.safetensors"))
    torch.manual_seed(99)
    ours, theirs = (job.objective.modules["encoder"].state_dict() for job in (prepare(recipe), first))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_updates_lower_the_loss_and_leave_the_generator_alone(recipe: Recipe) -> None:
    torch.manual_seed(0)
    job = prepare(recipe)
    objective = job.objective
    generator = objective.frozen["generator"]
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    batch = {**job.source.batch(0), "step": 0}
    totals = []
    for _ in range(4):
        phase = next(objective.phases(batch))
        totals.append(float(phase.loss.detach()))
        assert {"latent", "l2", "l2_crop", "consistency", "lpips", "identity", "w_norm"} == set(phase.scalars)
        objective.optimisers["encoder"].zero_grad()
        phase.loss.backward()  # type: ignore[no-untyped-call]
        objective.optimisers["encoder"].step()
    assert totals[-1] < totals[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in generator.state_dict().items())
    assert all(parameter.grad is None for parameter in generator.parameters())


def test_the_weight_file_is_one_the_method_reads(recipe: Recipe, tmp_path: Path) -> None:
    from facesr.methods.psp.checkpoint import read_psp
    from facesr.methods.training import export

    job = prepare(recipe)
    tensors, told = job.objective.export()
    export.write_weights(tmp_path / "psp.safetensors", tensors, told, half=False)
    net = read_psp(tmp_path / "psp.safetensors", MobileStyleGAN128.from_checkpoint())
    job.objective.modules["encoder"].eval()
    x = job.source.batch(0)["given"]
    with torch.no_grad():
        ours = job.objective.codes(x)  # type: ignore[attr-defined]
    torch.testing.assert_close(net.encode(x), ours, atol=1e-5, rtol=0)


def test_a_recipe_that_cannot_work_gets_one_sentence(recipe: Recipe) -> None:
    for table, change, said in (
        (recipe.data, {"factors": [1, 3]}, "factor 3 does not divide 128"),
        (recipe.data, {"latents": ""}, "go together"),
        (recipe.loss, {"lpip": 1.0}, "did you mean 'lpips'"),
        (recipe.net, {"generator": "mobilestylegan12"}, "mobilestylegan128"),
    ):
        kept = dict(table)
        table.update(change)
        with pytest.raises(FaceSRError, match=said):
            prepare(recipe)
        table.clear()
        table.update(kept)


def test_losses_of_a_small_change_of_a_code_are_its_quadratic_form() -> None:
    """On a generator whose images are linear in the codes, B of many probes gives the losses themselves."""

    class Linear(Generator):
        size, n_styles, style_dim = 8, 2, 16

        def __init__(self) -> None:
            super().__init__()
            self.map_ = torch.nn.Parameter(torch.randn(2 * 16, 3 * 8 * 8, generator=torch.Generator().manual_seed(3)) / 8)

        def map(self, z: torch.Tensor) -> torch.Tensor:
            return z

        def synthesize(self, w_plus: torch.Tensor, noise: object = None) -> torch.Tensor:
            return (w_plus.flatten(1) @ self.map_).view(-1, 3, 8, 8)

    generator = Linear()
    losses = LinearLosses({"l2": lambda x: [x / 192**0.5], "half": lambda x: [x[:, :1] / 8]}, {"l2": 1.0, "half": 0.5})
    draw = torch.Generator().manual_seed(0)
    probes = losses.probe(generator, torch.randn(3000, 2, 16, generator=draw), seed=0)
    change = torch.randn(5, 2, 16, generator=draw)
    image = generator.synthesize(change)
    truth = losses.of(image, torch.zeros_like(image))
    assert truth[0].item() == pytest.approx(image[0].square().mean().item() + 0.5 * image[0, 0].square().mean().item(), rel=1e-5)
    torch.testing.assert_close(Quadratic(losses.rows(probes))(change), truth, rtol=0.1, atol=0)

    descent = Descent(generator, losses.rows(probes), damping=1e-3)
    codes = descent.invert(change, lambda c: losses.of(generator.synthesize(c), torch.zeros(5, 3, 8, 8)), steps=12)
    assert (losses.of(generator.synthesize(codes), torch.zeros(5, 3, 8, 8)) < 1e-3 * truth).all()


def test_faces_between_real_ones_are_drawn_without_end(recipe: Recipe, tmp_path: Path) -> None:
    recipe.data.update(recombined={"folder": str(tmp_path / "made"), "faces": 0, "steps": 1, "batch": 2, "found": 1}, real=1)
    recipe = dataclasses.replace(recipe, loop=Loop(steps=2, batch=5))
    job = prepare(recipe)
    assert isinstance(job.objective, PSPObjective)
    new, again, later = (job.source.batch(step) for step in (1, 1, 2))
    assert torch.equal(again["hr"], new["hr"]) and not torch.equal(later["codes"][1], new["codes"][1])
    drawn = job.objective.generator.synthesize(new["codes"][1:3]).clamp(-1, 1) / 2 + 0.5
    assert (drawn - new["hr"][1:3]).abs().max() <= 0.5 / 255 + 1e-6  # 8 bits
    assert not list((tmp_path / "made").glob("faces-*"))


def test_faces_between_real_ones_are_made_once_and_known_by_their_codes(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recombine, "CHUNK", 4)
    table = {"folder": str(tmp_path / "made"), "faces": 7, "steps": 4, "batch": 2, "found": 1}
    recipe.data.update(recombined=table, real=1)
    recipe.loss.update(linear=1.0)
    recipe = dataclasses.replace(recipe, loop=Loop(steps=2, batch=5))
    job = prepare(recipe)
    assert "rendering training faces 4 to 8" in capsys.readouterr().err
    source, objective = job.source, job.objective
    assert isinstance(source, PSPFaces) and isinstance(objective, PSPObjective) and source.recombined is not None
    batch = source.batch(1)
    assert batch["known"].tolist() == [False, True, True, True, True]
    assert batch["codes"].shape == (5, 16, 512)
    drawn = objective.generator.synthesize(batch["codes"][1:3]).clamp(-1, 1) / 2 + 0.5
    assert (drawn - batch["hr"][1:3]).abs().max() < 0.02  # 8 bits, codes of fp16
    real = source.real
    assert real is not None
    phase = next(objective.phases({**batch, "step": 1}))
    assert float(phase.scalars["linear"].detach()) > 0

    # The search brought the real faces nearer than the encoder had put them.
    losses = objective.linear_losses()
    images = torch.from_numpy(real.pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    objective.modules["encoder"].eval()
    with torch.no_grad():
        before = losses.of(objective.generator.synthesize(objective.codes(from_lr(images / 2 + 0.5, 32))), images)
        after = losses.of(objective.generator.synthesize(source.recombined.real), images)
    assert (after < before).all()

    again = prepare(recipe).source
    assert capsys.readouterr().err == ""
    assert torch.equal(again.batch(1)["hr"], batch["hr"])
    recipe.data.update(recombined={**table, "steps": 3})
    with pytest.raises(FaceSRError, match="holds training faces made for other steps"):
        prepare(recipe)
    broken = tmp_path / "made" / "faces-001.safetensors"
    broken.write_bytes(broken.read_bytes()[:100])
    recipe.data.update(recombined=table)
    with pytest.raises(FaceSRError, match=r"faces-001\.safetensors cannot be read .* delete it, it is made again"):
        prepare(recipe)
    (tmp_path / "made" / "made-for.json").write_text("{")
    with pytest.raises(FaceSRError, match=r"made-for\.json cannot be read"):
        prepare(recipe)
    recipe.data.update(recombined={**table, "faces": -1})
    with pytest.raises(FaceSRError, match="faces, steps, batch and found must be at least 0"):
        prepare(recipe)
    recipe.data.update(recombined={**table, "batch": 4})
    with pytest.raises(FaceSRError, match="6 real and recombined faces do not fit a batch of 5"):
        prepare(recipe)
