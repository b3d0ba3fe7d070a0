"""FSRNet's priors (heat maps, parsing maps, BiSeNet), FSRGAN's discriminator and losses, against published numbers and by properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from conformance import agrees, recorded
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import write_png
from facesr.methods.fsrnet.gan import FSRGANObjective, SRGANDiscriminator, VGG16Loss
from facesr.methods.fsrnet.net import Sizes
from facesr.methods.fsrnet.objective import FSRNetLosses, FSRNetObjective
from facesr.methods.fsrnet.parsing import CLASSES, BiSeNet
from facesr.methods.fsrnet.priors import (
    MAPS,
    MIRROR_FIVE,
    LabelPrior,
    LandmarkPrior,
    PriorBatches,
    PriorOptions,
    celebamask_labels,
    heat_maps,
    make_prior,
    parsing_maps,
)
from facesr.methods.training import FaceBatches, Faces, Loop, Machine, Trainer
from facesr.methods.training.data import Augment

TINY = Sizes(
    width=8,
    coarse_width=4,
    deconv_widths=(8,),
    prior_width=8,
    coarse_blocks=0,
    encoder_blocks=1,
    decoder_blocks=0,
    hourglasses=1,
    hourglass_depth=1,
)


def test_bisenet_equals_face_parsing_pytorch() -> None:
    known = recorded("face_parsing_bisenet")
    data, state = known, known.get("state_dict", {})
    net = BiSeNet.from_state(state)
    out, out16, out32 = net(data["inputs"]["x"])
    agrees(out, data["outputs"]["out"], atol=1e-5, rtol=0)
    agrees(out16.mean((2, 3)), data["outputs"]["out16_mean"], atol=1e-6, rtol=0)
    agrees(out32.mean((2, 3)), data["outputs"]["out32_mean"], atol=1e-6, rtol=0)
    labels = net.labels(torch.rand(1, 3, 32, 32), side=64)
    assert labels.shape == (1, 64, 64)
    assert 0 <= labels.min() <= labels.max() < len(CLASSES)
    with pytest.raises(FaceSRError, match="79999_iter"):
        BiSeNet.from_state({k: v for k, v in state.items() if "arm16" not in k})


def test_discriminator_equals_cs_giungs() -> None:
    known = recorded("fsrgan_csgiung_disc")
    data, state = known, known.get("state_dict", {})
    net = SRGANDiscriminator().eval()
    net.load_state_dict(state, strict=True)
    assert sum(p.numel() for p in net.parameters()) == data["meta"]["n_params"]
    with torch.no_grad():
        agrees(net(data["inputs"]["x"]), data["outputs"]["y"], atol=1e-5, rtol=0)


def test_perceptual_loss_is_torchvisions_vgg16_up_to_relu5_3() -> None:
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    reference = torchvision.models.vgg16(weights=None).features[:30].eval()
    loss = VGG16Loss({f"features.{k}": v for k, v in reference.state_dict().items()})
    a, b = torch.rand(2, 1, 3, 32, 32)
    with torch.no_grad():
        assert float(loss(a, b)) == pytest.approx(float((reference(a) - reference(b)).square().mean()), rel=1e-4)
    with pytest.raises(FaceSRError, match=r"28\.bias"):
        VGG16Loss({k: v for k, v in reference.state_dict().items() if k != "28.bias"})


def test_heat_maps_are_the_published_gaussians() -> None:
    maps = heat_maps(torch.tensor([[10.0, 20.0], [40.5, 3.0]]), 64)
    assert maps.shape == (2, 64, 64)
    assert float(maps[0, 20, 10]) == 1  # row is y, column is x
    y, x = np.mgrid[:64, :64]
    expected = np.exp(-((x - 40.5) ** 2 + (y - 3.0) ** 2) / (2 * 3.0**2)) * 2 - 1
    assert np.allclose(maps[1].numpy(), expected, atol=1e-6)


def test_parsing_maps_keep_the_published_order() -> None:
    labels = np.zeros((1, 128, 128), np.uint8)
    labels[0, 32:64, 32:64] = CLASSES.index("nose")
    maps = parsing_maps(labels, 64)
    assert maps.shape == (1, 11, 64, 64)
    assert float(maps[0, MAPS.index("nose"), 24, 24]) == pytest.approx(1)
    assert float(maps[0, MAPS.index("nose"), 50, 50]) == pytest.approx(-1)
    others = [i for i, name in enumerate(MAPS) if name != "nose"]
    assert float(maps[0, others].max()) == -1


def test_celebamask_files_are_laid_over_each_other(tmp_path: Path) -> None:
    skin, nose = np.zeros((2, 512, 512, 3), np.uint8)
    skin[100:400, 100:400] = 255
    nose[200:300, 200:300] = 255
    write_png(tmp_path / "00007_skin.png", skin)
    write_png(tmp_path / "00007_nose.png", nose)
    labels = celebamask_labels(tmp_path, 7)
    assert [labels[0, 0], labels[150, 150], labels[250, 250]] == [0, CLASSES.index("skin"), CLASSES.index("nose")]


def marked(size: int = 32) -> tuple[Faces, torch.Tensor]:
    """Faces that are black but for one white pixel a face: where the first landmark is."""
    random = np.random.default_rng(1)
    pixels = np.zeros((6, size, size, 3), np.uint8)
    points = torch.tensor(random.integers(6, size - 6, (6, 5, 2)), dtype=torch.float32)
    for i in range(6):
        x, y = (int(v) for v in points[i, 0])
        pixels[i, y, x] = 255
    return Faces(tuple(f"f{i}" for i in range(6)), pixels, np.arange(6)), points


def test_landmarks_follow_shifts_and_flips() -> None:
    faces, points = marked()
    points[2] = float("nan")
    source = FaceBatches(faces, 6, 4, Augment(flip=True, shift=3), seed=5)
    batches = PriorBatches(source, LandmarkPrior(points, MIRROR_FIVE, 3.0, 32), 32, 5)
    seen_flips = 0
    for step in range(4):
        batch = batches.batch(step)
        assert batch["maps"].shape == (6, 5, 32, 32)
        for i, row in enumerate(batch["rows"]):
            assert bool(batch["has_maps"][i]) == (row != 2)
            if row != 2:
                # the first point is the second one's place after a flip: its map peaks where the white pixel went
                channel = 1 if batch["flips"][i] else 0
                assert int(batch["maps"][i, channel].argmax()) == int(batch["hr"][i, 0].argmax())
                seen_flips += channel
    assert seen_flips > 3


def test_parsing_maps_follow_shifts_and_flips() -> None:
    faces, points = marked()
    labels = torch.zeros(6, 32, 32, dtype=torch.uint8)
    for i in range(6):
        x, y = (int(v) for v in points[i, 0])
        labels[i, y, x] = CLASSES.index("l_eye")
    labels[4] = 255
    source = FaceBatches(faces, 6, 4, Augment(flip=True, shift=3), seed=5)
    batch = PriorBatches(source, LabelPrior(labels), 32, 11).batch(0)
    assert batch["has_maps"].tolist() == [row != 4 for row in batch["rows"]]
    for i, row in enumerate(batch["rows"]):
        if row != 4:
            channel = MAPS.index("r_eye" if batch["flips"][i] else "l_eye")
            assert int(batch["maps"][i, channel].argmax()) == int(batch["hr"][i, 0].argmax())


def test_faces_without_maps_are_left_out_of_the_priors_loss() -> None:
    import dataclasses

    objective = FSRNetObjective(dataclasses.replace(TINY, landmarks=5, parsing=0), FSRNetLosses(), {"name": "adam", "lr": 1e-3})
    output = objective.modules["net"](torch.zeros(2, 3, 32, 32))
    maps = torch.zeros(2, 5, 16, 16)
    batch = {"maps": maps, "has_maps": torch.tensor([True, False])}
    parts = objective.parts(output, torch.zeros(2, 3, 32, 32), batch)
    assert float(parts["prior"].detach()) == pytest.approx(float(output.prior[0].detach().square().mean()), rel=1e-5)
    none = objective.parts(output, torch.zeros(2, 3, 32, 32), {"maps": maps, "has_maps": torch.tensor([False, False])})
    assert float(none["prior"].detach()) == 0


def test_fsrgan_trains_both_nets(tmp_path: Path) -> None:
    faces, points = marked()
    losses = FSRNetLosses(adversarial=1e-3, discriminator_widths=(4, 4))
    import dataclasses

    objective = FSRGANObjective(dataclasses.replace(TINY, landmarks=5, parsing=0), losses, {"name": "rmsprop", "lr": 2.5e-4}, None)
    source = PriorBatches(FaceBatches(faces, 2, 4, Augment(), seed=5), LandmarkPrior(points, MIRROR_FIVE, 3.0, 32), 16, 5)
    before = {name: {k: v.clone() for k, v in m.state_dict().items()} for name, m in objective.modules.items()}
    trainer = Trainer(objective, source, Loop(steps=2, batch=2, precision="bf16-mixed"), tmp_path, machine=Machine("cpu"))
    assert trainer.fit() == 2
    for name, module in trainer._bare.items():
        assert any(not torch.equal(v, before[name][k]) for k, v in module.state_dict().items() if k.endswith("weight")), name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (PriorOptions("labels", "/no/such"), "no such folder"),
        (PriorOptions("landmarks", "/no/such.csv"), "not a table of landmarks"),
        (PriorOptions("yunett"), "did you mean 'yunet'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_prior_tables_get_one_sentence(options: PriorOptions, words: str) -> None:
    with pytest.raises(FaceSRError, match=words):
        make_prior(options, marked()[0])


def test_landmark_tables_are_read_and_checked(tmp_path: Path) -> None:
    faces, _ = marked()
    table = tmp_path / "points.csv"
    table.write_text("file,x0,y0,x1,y1\nf0.png,1,2,3,4\nf3.png,5,6,7,8\n", encoding="utf-8")
    prior = make_prior(PriorOptions("landmarks", str(table), mirror=(1, 0)), faces)
    assert isinstance(prior, LandmarkPrior)
    assert prior.points[3].tolist() == [[5, 6], [7, 8]]
    assert prior.points[1].isnan().all()
    with pytest.raises(FaceSRError, match="mirror"):
        make_prior(PriorOptions("landmarks", str(table), mirror=(1, 1)), faces)
    with pytest.raises(FaceSRError, match="gives 2"):
        PriorBatches(FaceBatches(faces, 2, 4), prior, 16, 5)
    flipped = FaceBatches(faces, 6, 4, Augment(flip=True))
    with pytest.raises(FaceSRError, match="need 'mirror'"):
        PriorBatches(flipped, make_prior(PriorOptions("landmarks", str(table)), faces), 16, 2).batch(0)
