"""PULSE's loss, sphere, schedules and Gaussian fit against its own code (oracles ``pulse_loss``, ``pulse_spherical``, ``pulse_mapping``;
tolerance 1e-4 relative to the size of the number, or better)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from conformance import agrees
from facesr.bench.errors import FaceSRError
from facesr.methods.pulse import PULSE
from facesr.methods.pulse.fit import GaussianFit
from facesr.methods.pulse.loss import Loss, geocross
from facesr.methods.pulse.settings import parse_losses
from facesr.methods.pulse.sphere import SphericalOptimizer, lr_factor, radius

Oracle = Callable[[str], dict[str, Any]]


def test_the_sum_over_faces_is_the_published_loss(oracle: Oracle, detweights: ModuleType) -> None:
    known = oracle("pulse_loss")
    images = detweights.image("gen", (2, 3, 1024, 1024), 0, 1)
    latent, ref = known["inputs"]["latent"], known["inputs"]["ref"]
    for name, want in known["outputs"].items():
        if "|" not in name:
            continue
        text, eps = name.split("|")
        total, terms, _ = Loss(ref, text, float(eps))(latent, images)
        assert total.shape == (2,)
        agrees(total.sum(), want["total"], atol=1e-4, rtol=1e-5)
        for term, value in terms.items():
            agrees(value.sum(), want[term], atol=1e-5, rtol=1e-5)
    assert float(geocross(latent[:, :1]).sum()) == known["outputs"]["tile_latent_geocross"] == 0
    near = Loss(ref, "100*L2+0.05*GEOCROSS", 1e-3)
    near.ref = near.shrink(images)  # a perfect image: L2 rests at eps, once a face
    agrees(near(latent, images)[0].sum(), known["outputs"]["near"], atol=1e-4, rtol=1e-5)


def test_one_face_does_not_enter_the_loss_of_another(oracle: Oracle) -> None:
    torch.manual_seed(0)
    ref, images, latent = torch.rand(3, 3, 8, 8), torch.rand(3, 3, 64, 64), torch.randn(3, 5, 512)
    together = Loss(ref)(latent, images)[0]
    alone = torch.cat([Loss(ref[i : i + 1])(latent[i : i + 1], images[i : i + 1])[0] for i in range(3)])
    agrees(together, alone, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("name", ["latent", "noise"])
def test_spherical_adam_follows_the_published_trajectory(name: str, oracle: Oracle, detweights: ModuleType) -> None:
    known = oracle("pulse_spherical")["outputs"][name]
    shape = tuple(known["traj"].shape[1:])
    x = detweights.draw(f"sph{name}", shape).requires_grad_()
    target = detweights.draw(f"tgt{name}", shape)
    sphere = SphericalOptimizer(torch.optim.Adam, [x], lr=0.4)
    agrees(sphere.radii[x], known["radii"])
    scheduler = torch.optim.lr_scheduler.LambdaLR(sphere.opt, lr_factor("linear1cycledrop", len(known["traj"])))
    for want in known["traj"]:
        sphere.opt.zero_grad()
        (x - target).square().mean().backward()
        sphere.step()
        scheduler.step()
        agrees(x.detach(), want, atol=1e-4, rtol=1e-4)
        agrees(radius(x.detach()), sphere.radii[x], atol=1e-4, rtol=1e-5)


def test_schedules_are_the_published_curves(oracle: Oracle) -> None:
    for name, want in oracle("pulse_spherical")["outputs"]["lr_factor_100"].items():
        factor = lr_factor(name, 100)
        got = torch.tensor([factor(x) for x in range(100)], dtype=torch.float64)
        agrees(got, want, atol=1e-12, rtol=0)
    drop = lr_factor("linear1cycledrop", 100)
    assert drop(0) == pytest.approx(0.1) and drop(45) == pytest.approx(1) and drop(90) == pytest.approx(0.1)
    assert drop(99) == pytest.approx(0.0109)  # reference/methods.md, 1.2


def test_fit_inverts_the_mappings_last_activation(oracle: Oracle) -> None:
    known = oracle("pulse_mapping")["outputs"]
    fit = GaussianFit.of(known["w"])
    agrees(fit.mean, known["mean0"], atol=1e-4, rtol=1e-5)
    agrees(fit.std, known["std0"], atol=1e-4, rtol=1e-5)
    agrees(F.leaky_relu(known["w"], 5), known["unactivated"], atol=1e-5, rtol=1e-5)
    latent = ((known["unactivated"] - fit.mean) / fit.std)[:, None]
    agrees(fit.styles(latent)[:, 0], known["w"], atol=1e-4, rtol=1e-4)


def test_a_fit_file_is_read_and_another_is_told(tmp_path: Path) -> None:
    good, bad = tmp_path / "gaussian_fit.pt", tmp_path / "other.pt"
    torch.save({"mean": torch.zeros(512), "std": torch.ones(512)}, good)
    torch.save({"mean": torch.zeros(512)}, bad)
    assert float(GaussianFit.read(good).std.sum()) == 512
    with pytest.raises(FaceSRError, match=r"other\.pt, as PULSE's Gaussian fit.*1 key missing \(first: 'std'\)"):
        GaussianFit.read(bad)


def test_settings_gather_every_problem() -> None:
    assert parse_losses("100*L2 + 5e-2*GEOCROSS") == [(100.0, "L2"), (0.05, "GEOCROSS")]
    with pytest.raises(FaceSRError) as caught:
        PULSE(noise_type="trainabel", steps=0, eps=-1, opt_name="adan", kernel="bicubik", tile_latent=1)  # type: ignore[arg-type]
    for said in (
        "did you mean 'trainable'",
        "did you mean 'adam'",
        "'steps' is 0: must be at least 1",
        "'eps'",
        "'kernel'",
        "'tile_latent'",
    ):
        assert said in str(caught.value)
    with pytest.raises(FaceSRError, match=r"not a sum of weight\*TERM"):
        PULSE(loss_str="L2")
    with pytest.raises(FaceSRError, match="not numbers joined by dots"):
        PULSE(bad_noise_layers="1.x")
    with pytest.raises(FaceSRError, match="did you mean 'GEOCROSS'"):
        parse_losses("1*GEOCROS")
