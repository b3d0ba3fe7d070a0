"""Every network of the project, from every shape in which people keep weights; and from files that are not what they say."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from facesr.bench.errors import FaceSRError
from facesr.bench.networks.checkpoints import find_state, load_strictly
from facesr.bench.networks.iresnet import IResNet
from facesr.bench.networks.irse import Backbone
from facesr.bench.weights import WeightsBroken, load_tensors, metadata, read_tensors
from facesr.methods.fsrnet import FSRNet
from facesr.methods.fsrnet.net import FSRNetwork, Sizes
from facesr.methods.generators.opening import open_generator
from facesr.methods.generators.stylegan1 import StyleGAN1
from facesr.methods.generators.stylegan2 import StyleGAN2
from facesr.methods.pix2pixhd import Pix2PixHD
from facesr.methods.pix2pixhd.net import GlobalGenerator, LocalEnhancer
from facesr.methods.psp import PSP
from facesr.methods.psp.checkpoint import to_published
from facesr.methods.psp.encoders import EncoderConfig, build_encoder
from facesr.methods.psp.net import PSPNet

Tree = dict[str, Any]
Answer = Callable[[Path], Tensor]
LR = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def _images(answer: Any) -> Tensor:
    images: Tensor = getattr(answer, "images", answer)
    return images


def _psp() -> tuple[Tree, Answer]:
    sizes = EncoderConfig(n_styles=8, input_size=64, channels=(8, 12, 16, 24), depths=(1, 1, 2, 1), width=20, head=10)
    net = PSPNet(build_encoder(sizes), StyleGAN2(32, channels=dict.fromkeys((4, 8, 16, 32), 12)).eval(), torch.randn(8, 512) * 0.1)
    return to_published(net.eval()), lambda path: _images(PSP.from_checkpoint(path, size=32).restore(LR, ["a"]))


def _pix2pixhd() -> tuple[Tree, Answer]:
    state = GlobalGenerator(ngf=4, n_down=2, n_blocks=1, norm="batch").state_dict()
    return {"state_dict": state}, lambda path: Pix2PixHD.from_checkpoint(path, size=32).restore(LR)


def _local() -> tuple[Tree, Answer]:
    state = LocalEnhancer(ngf=2, n_down=1, n_blocks=1, n_blocks_local=1).state_dict()
    return {"state_dict": state}, lambda path: Pix2PixHD.from_checkpoint(path, size=32).restore(LR)


def _fsrnet() -> tuple[Tree, Answer]:
    tiny = Sizes(width=8, coarse_width=8, deconv_widths=(8,), prior_width=16, hourglass_depth=2, landmarks=3, parsing=2)
    state = FSRNetwork(tiny).state_dict()
    return {"state_dict": state}, lambda path: FSRNet.from_checkpoint(path, size=32, residual=False).restore(LR)


def _stylegan2() -> tuple[Tree, Answer]:
    generator = StyleGAN2(32, channels=dict.fromkeys((4, 8, 16, 32), 12))
    return {"g_ema": generator.to_layout("rosinality"), "latent_avg": torch.randn(512)}, _drawn


def _basicsr() -> tuple[Tree, Answer]:
    return {"params_ema": StyleGAN2(16, channels=dict.fromkeys((4, 8, 16), 12)).to_layout("basicsr")}, _drawn


def _stylegan1() -> tuple[Tree, Answer]:
    files = StyleGAN1(8).to_layout("lernapparat")
    return {"state_dict": next(iter(files.values()))}, _drawn


def _drawn(path: Path) -> Tensor:
    generator = open_generator(path)
    with torch.no_grad():
        return generator(torch.randn(1, 512, generator=torch.Generator().manual_seed(1)), psi=0.7)


def _irse() -> tuple[Tree, Answer]:
    crop = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    state = Backbone(50, "ir_se", size=32).state_dict()
    return {"state_dict": state}, lambda path: Backbone.from_state_dict(load_tensors(path))(crop).detach()


def _iresnet() -> tuple[Tree, Answer]:
    crop = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    return {"state_dict": IResNet(18).state_dict()}, lambda path: IResNet.from_state_dict(load_tensors(path))(crop).detach()


NETWORKS = {
    f.__name__[1:]: f for f in (_psp, _pix2pixhd, _local, _fsrnet, _stylegan2, _basicsr, _stylegan1, _irse, _iresnet)
}  # fmt: skip


def _states(tree: Tree) -> tuple[str, dict[str, Tensor]]:
    key = next(key for key in tree if isinstance(tree[key], dict) and key != "opts")
    return key, tree[key]


def _renamed(rule: Callable[[str], str]) -> Callable[[Tree], Tree]:
    def change(tree: Tree) -> Tree:
        key, state = _states(tree)
        return {**tree, key: {rule(k): v for k, v in state.items()}}

    return change


def _as(kind: torch.dtype) -> Callable[[Tree], Tree]:
    def change(tree: Tree) -> Tree:
        key, state = _states(tree)
        return {**tree, key: {k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()}}

    return change


def _under(*wrappers: str) -> Callable[[Tree], Tree]:
    def change(tree: Tree) -> Tree:
        key, state = _states(tree)
        for wrapper in reversed(wrappers):
            state = {wrapper: state}
        return {**{k: v for k, v in tree.items() if k != key}, **state}

    return change


def _averaged(tree: Tree) -> Tree:
    """The raw network beside the averaged one, which is the one to use."""
    key, state = _states(tree)
    raw = {k: v * 0 if v.is_floating_point() else v for k, v in state.items()}
    return {**{k: v for k, v in tree.items() if k != key}, "params": raw, "params_ema": state}


SHAPES: dict[str, tuple[Callable[[Tree], Tree], float]] = {
    "module.": (_renamed(lambda k: f"module.{k}"), 0),
    "_orig_mod.": (_renamed(lambda k: f"_orig_mod.{k}"), 0),
    "_orig_mod.module.": (_renamed(lambda k: f"_orig_mod.module.{k}"), 0),
    "inner _orig_mod.": (_renamed(lambda k: k.replace(".", "._orig_mod.", 1)), 0),
    "model. (Lightning)": (_renamed(lambda k: f"model.{k}"), 0),
    "bare": (lambda tree: {**{k: v for k, v in tree.items() if k != _states(tree)[0]}, **_states(tree)[1]}, 0),
    "model": (_under("model"), 0),
    "params_ema": (_under("params_ema"), 0),
    "g_ema": (_under("g_ema"), 0),
    "model/state_dict": (_under("model", "state_dict"), 0),
    "params beside params_ema": (_averaged, 0),
    "with an optimiser": (lambda tree: {**tree, "optimizer": {"state": {0: {"step": torch.ones(1)}}}, "epoch": 3}, 0),
    "half": (_as(torch.float16), 2e-2),
    "bfloat16": (_as(torch.bfloat16), 1e-1),
    "double": (_as(torch.float64), 0),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_reads_its_weights_in_every_shape_people_keep_them(network: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tree, answer = NETWORKS[network]()
    torch.save(tree, tmp_path / "plain.pt")
    expected = answer(tmp_path / "plain.pt")
    scale = float(expected.abs().max())
    for name, (change, tolerance) in SHAPES.items():
        torch.save(change(tree), tmp_path / "changed.pt")
        found = answer(tmp_path / "changed.pt")
        assert float((found - expected).abs().max()) <= tolerance * scale, name


def test_options_may_be_a_namespace_and_tensors_a_safetensors_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tree, answer = _psp()
    torch.save(tree, tmp_path / "plain.pt")
    torch.save({**tree, "opts": Namespace(output_size=32, start_from_latent_avg=True)}, tmp_path / "opts.pt")
    flat = {key: value.contiguous().clone() for key, value in tree["state_dict"].items()}
    save_file({**flat, "latent_avg": tree["latent_avg"]}, tmp_path / "flat.safetensors")
    expected = answer(tmp_path / "plain.pt")
    assert torch.equal(answer(tmp_path / "opts.pt"), expected)
    assert torch.equal(answer(tmp_path / "flat.safetensors"), expected)


def test_strict_loading_names_every_difference_at_once() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state: dict[str, Tensor] = dict(net.state_dict())
    del state["0.bias"], state["1.num_batches_tracked"]
    state |= {"more": torch.zeros(1), "0.weight": torch.zeros(3, 4), "1.weight": torch.ones(3, dtype=torch.int64)}
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(FaceSRError) as caught:
        load_strictly(net, state, "f.pt, as a net")
    for said in (
        "f.pt, as a net", "1 key missing (first: '0.bias')", "1 key unexpected (first: 'more')",
        "'0.weight', (3, 4) instead of (3, 2)", "1 key of another kind of number (first: '1.weight', int64)",
    ):  # fmt: skip
        assert said in str(caught.value)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    state = {key: value.clone() for key, value in before.items()}
    state["0.bias"][1] = float("nan")
    with pytest.raises(FaceSRError, match=r"1 key with NaN or infinity \(first: '0\.bias'\)"):
        load_strictly(net, state, "f.pt")


def test_an_fsrnet_without_its_note_is_measured(tmp_path: Path) -> None:
    """Saved again without its metadata, the default file scored 12.35 dB: whether the input is added leaves no trace in keys."""
    default = FSRNet.default
    if default is None or not default.is_file():
        pytest.skip("the default weights are not in this checkout")
    lr = torch.nn.functional.interpolate(LR, 16, mode="bicubic").clamp(0, 1)
    expected = FSRNet().restore(lr)
    state = load_tensors(default)
    save_file(state, tmp_path / "again.safetensors")
    torch.save({"state_dict": state}, tmp_path / "again.pth")
    for name in ("again.safetensors", "again.pth"):
        assert torch.equal(FSRNet.from_checkpoint(tmp_path / name).restore(lr), expected), name
    stated = FSRNet.from_checkpoint(tmp_path / "again.pth", residual=False).restore(lr)
    assert float((stated - expected).abs().mean()) > 0.1


# ---------------------------------------------------------------- files from strangers


def _loop(path: Path) -> None:
    tree: Tree = {"state_dict": {}}
    tree["state_dict"]["state_dict"] = tree["state_dict"]
    tree["again"] = tree
    torch.save(tree, path)


def _bomb(path: Path) -> None:
    """A record of 4 GB of zeros, packed: PyTorch never packs."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        with archive.open("archive/data/0", "w", force_zip64=True) as record:
            for _ in range(64):
                record.write(bytes(1 << 20))


def _header(text: bytes, size: int | None = None) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(struct.pack("<Q", len(text) if size is None else size) + text) and None


STRANGE: dict[str, Callable[[Path], Any]] = {
    "loop.pt": _loop,
    "bomb.pt": _bomb,
    "integers.pt": lambda path: torch.save({0: torch.zeros(2), 1: torch.zeros(2)}, path),
    "list.pt": lambda path: torch.save([torch.zeros(2)], path),
    "tensor.pt": lambda path: torch.save(torch.zeros(2), path),
    "empty.pt": lambda path: torch.save({}, path),
    "expanded.pt": lambda path: torch.save({"model.1.weight": torch.zeros(1).expand(1 << 30, 1)}, path),
    "sparse.pt": lambda path: torch.save({"model.1.weight": torch.zeros(4, 4).to_sparse()}, path),
    "complex.pt": lambda path: torch.save({"model.1.weight": torch.zeros(4, 3, 7, 7, dtype=torch.complex64)}, path),
    "flat.pt": lambda path: torch.save({"model.1.weight": torch.zeros(4), "csr_net.conv1.1.weight": torch.zeros(3)}, path),
    "wide.pt": lambda path: torch.save({"model.1.weight": torch.zeros(1 << 17, 3, 1, 1)}, path),
    "many.pt": lambda path: torch.save(
        {"csr_net.conv1.1.weight": torch.zeros(2, 3, 3, 3), "csr_net.res_blocks.999999999.layers.1.weight": torch.zeros(1)}, path
    ),
    "deep.pt": lambda path: path.write_bytes(b"\x80\x02" + b"}(X\x01\x00\x00\x00a" * 50_000 + b"N" + b"u" * 50_000 + b"."),
    "cut.safetensors": _header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'),
    "huge-header.safetensors": _header(b"{}", 1 << 40),
    "shape.safetensors": _header(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,0]}}'),
    "words.safetensors": _header(b'{"a":{"dtype":"F32","shape":"four","data_offsets":[0,0]}}'),
    "metadata.safetensors": _header(b'{"__metadata__":{"facesr":"{not json"}}'),
    "metadata-list.safetensors": _header(b'{"__metadata__":["facesr"]}'),
    "nested.safetensors": _header(b'{"a":' + b"[" * 100_000),
    "text.safetensors": lambda path: path.write_text("weights, honestly"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("method", [PSP, FSRNet, Pix2PixHD])
def test_a_strange_file_gets_one_sentence(method: Any, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    STRANGE[name](path)
    with pytest.raises(FaceSRError) as caught:
        method(checkpoint=str(path)).load()
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_notes_that_describe_enormous_nets_are_refused_before_anything_is_built(tmp_path: Path) -> None:
    state = {"encoder.input_layer.0.weight": torch.zeros(8, 3, 3, 3), "csr_net.conv1.1.weight": torch.zeros(2, 3, 3, 3)}
    for note, method in (
        ({"psp_encoder": json.dumps({"depths": [10**9, 1, 1, 1]})}, PSP),
        ({"psp_encoder": json.dumps({"widht": 3})}, PSP),
        ({"psp_encoder": "[1, 2]"}, PSP),
        ({"sizes": json.dumps({"encoder_blocks": 10**9})}, FSRNet),
        ({"sizes": json.dumps({"residual": "yes"})}, FSRNet),
    ):
        save_file(state, tmp_path / "x.safetensors", metadata={"facesr": json.dumps(note)})
        with pytest.raises(FaceSRError):
            method(checkpoint=str(tmp_path / "x.safetensors")).load()


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "w.pt")
    for read in (read_tensors, metadata):
        with pytest.raises(WeightsBroken, match="not a regular file"):
            read(tmp_path / "w.pt")


def test_a_state_dict_with_one_key_twice_is_refused() -> None:
    with pytest.raises(FaceSRError, match=r"'a\.weight' twice"):
        find_state({"a.weight": torch.zeros(1), "module.a.weight": torch.ones(1)}, ("a.",), "f.pt", "net")
