"""Real-ESRGAN out of ncnn's files: the network that wrote them, ncnn's own answer, and files that are something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from facesr.bench.errors import FaceSRError, WeightsMissing
from facesr.bench.weights import find_weight
from facesr.methods.spandrel import Spandrel, describe

pytest.importorskip("spandrel", reason="the extra 'spandrel' is not installed")

LEAKY = " 9=2 -23310=1,2.000000e-01"


class Writer:
    """An RRDBNet of two blocks as ncnn's two files, written line by line as ncnn's converter does (the test's own words, not the reader's)."""

    def __init__(self, state: dict[str, Tensor], half: bool = False) -> None:
        self.state, self.half = state, half
        self.lines: list[str] = []
        self.data = b""
        self.splits = 0
        self._write()

    def save(self, folder: Path, change: Callable[[str], str] = str, cut: int = 0, more: bytes = b"") -> Path:
        head = f"7767517\n{len(self.lines)} {len(self.lines) * 2}\n"
        (folder / "net.param").write_text(change(head + "\n".join(self.lines) + "\n"))
        (folder / "net.bin").write_bytes((self.data[:-cut] if cut else self.data) + more)
        return folder / "net.bin"

    def _conv(self, name: str, source: str, leaky: bool = False) -> str:
        weight, bias = self.state[f"{name}.weight"].numpy(), self.state[f"{name}.bias"].numpy()
        out = f"b{len(self.lines)}"
        sizes = f"0={len(weight)} 1=3 4=1 5=1 6={weight.size}{LEAKY if leaky else ''}"
        self.lines.append(f"Convolution Conv_{len(self.lines)} 1 1 {source} {out} {sizes}")
        if self.half:
            data = weight.astype("<f2").tobytes()
            self.data += b"\x47\x6b\x30\x01" + data + b"\0" * (-len(data) % 4)
        else:
            self.data += b"\0\0\0\0" + weight.astype("<f4").tobytes()
        self.data += bias.astype("<f4").tobytes()
        return out

    def _line(self, kind: str, sources: list[str], settings: str = "") -> str:
        out = f"b{len(self.lines)}"
        self.lines.append(f"{kind} l{len(self.lines)} {len(sources)} 1 {' '.join(sources)} {out} {settings}".strip())
        return out

    def _split(self, source: str) -> str:
        a, b = f"{source}_0", f"{source}_1"
        self.lines.append(f"Split s{len(self.lines)} 1 2 {source} {a} {b}")
        return b

    def _write(self) -> None:
        self.lines.append("Input input 0 1 data")
        first = x = self._split(self._conv("conv_first", "data"))
        for block in (0, 1):
            start = x
            for dense in (1, 2, 3):
                parts = [x]
                for k in (1, 2, 3, 4):
                    given = parts[0] if k == 1 else self._line("Concat", parts)
                    parts.append(self._split(self._conv(f"body.{block}.rdb{dense}.conv{k}", given, True)))
                last = self._conv(f"body.{block}.rdb{dense}.conv5", self._line("Concat", parts))
                x = self._line("Eltwise", [last, x], "0=1 -23301=2,2.000000e-01,1.000000e+00")
            x = self._line("Eltwise", [x, start], "0=1 -23301=2,2.000000e-01,1.000000e+00")
        x = self._line("BinaryOp", [first, self._conv("conv_body", x)])
        for up in (1, 2):
            x = self._conv(f"conv_up{up}", self._line("Interp", [x], "0=1 1=2.000000e+00 2=2.000000e+00"), True)
        self._conv("conv_last", self._conv("conv_hr", x, True))


def _weights() -> dict[str, Tensor]:
    """RRDBNet of two blocks, four channels, growth 32 (spandrel knows no other), by BasicSR's names."""
    drawn = torch.Generator().manual_seed(0)

    def conv(name: str, out: int, given: int) -> dict[str, Tensor]:
        return {
            f"{name}.weight": torch.randn(out, given, 3, 3, generator=drawn) / 32,
            f"{name}.bias": torch.randn(out, generator=drawn),
        }

    found = conv("conv_first", 4, 3)
    for block in (0, 1):
        for dense in (1, 2, 3):
            for k in (1, 2, 3, 4, 5):
                found |= conv(f"body.{block}.rdb{dense}.conv{k}", 32 if k < 5 else 4, 4 + 32 * (k - 1))
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        found |= conv(name, 4, 4)
    return found | conv("conv_last", 3, 4)


@pytest.mark.parametrize("half", [False, True])
def test_the_network_that_was_written_is_read(tmp_path: Path, half: bool) -> None:
    state = _weights()
    torch.save(state, tmp_path / "net.pth")
    if half:
        state = {key: value.half().float() if key.endswith("weight") else value for key, value in state.items()}
        torch.save(state, tmp_path / "net.pth")
    file = Writer(state, half).save(tmp_path)
    found, known = describe(file), describe(tmp_path / "net.pth")
    for (key, ours), theirs in zip(found.model.state_dict().items(), known.model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), key
    assert torch.equal(
        Spandrel.from_checkpoint(file.with_suffix(".param"), size=32, scale=8).restore(torch.full((1, 3, 4, 4), 0.5)),
        Spandrel.from_checkpoint(tmp_path / "net.pth", size=32, scale=8).restore(torch.full((1, 3, 4, 4), 0.5)),
    )
    assert set(Spandrel(path=str(file)).weights) >= {"net.bin", "net.param"}


def test_other_files_get_one_sentence(tmp_path: Path) -> None:
    written = Writer(_weights())

    def refused(said: str, change: Callable[[str], str] = str, cut: int = 0, more: bytes = b"") -> None:
        with pytest.raises(FaceSRError, match=said):
            describe(written.save(tmp_path, change, cut, more))

    refused("is cut off in layer Conv_", cut=8)
    refused(r"bytes, the graph beside it describes", more=b"\0\0\0\0")
    refused("RRDBNet.*differs", lambda t: t.replace("1=2.000000e+00 2=2.0", "1=2.000000e+00 2=3.0", 1))
    refused("RRDBNet.*differs", lambda t: t.replace("2,2.000000e-01,1.000000e+00", "2,3.000000e-01,1.000000e+00", 1))
    refused("RRDBNet.*differs", lambda t: t.replace(LEAKY, "", 1))
    refused("kind Swish are not read here", lambda t: t.replace("BinaryOp", "Swish"))
    refused("first line is not 7767517", lambda t: t.replace("7767517", "7767516"))
    refused("not a layer of ncnn's graph", lambda t: t.replace(" data ", " nowhere ", 1) if " data " in t else t)
    refused("not a layer of ncnn's graph", lambda t: t.replace("0=4 1=3", "0=four 1=3", 1))
    refused("asks for .* numbers", lambda t: t.replace("6=108", "6=999999999999", 1))
    refused("asks for .* numbers", lambda t: t.replace("6=108", "6=nan", 1) and t.replace("6=108", "6=0", 1))
    refused("announces", lambda t: t.replace(f"\n{len(written.lines)} ", "\n7 "))
    (tmp_path / "net.bin").write_bytes(b"\x38\x4b\x0d\x00" + written.data[4:])
    with pytest.raises(FaceSRError, match="8-bit"):
        describe(tmp_path / "net.bin")
    (tmp_path / "net.bin").unlink()
    with pytest.raises(FaceSRError, match=r"net.param has no net.bin beside it"):
        describe(tmp_path / "net.param")


def test_the_real_weights_answer_as_ncnn_does() -> None:
    """Where ncnn and the weights are here: 3.8e-6 on 16 x 16 noise was measured with ncnn 1.0.20261020."""
    try:
        file = find_weight("realesrgan-x4plus")
    except WeightsMissing:
        pytest.skip("realesrgan-x4plus is not here: facesr weights fetch realesrgan-x4plus")
    ncnn = pytest.importorskip("ncnn", reason="ncnn is not installed")
    net = ncnn.Net()
    net.opt.use_vulkan_compute = net.opt.use_fp16_arithmetic = net.opt.use_fp16_storage = net.opt.use_fp16_packed = False
    net.load_param(str(file.with_suffix(".param")))
    net.load_model(str(file))
    given = np.random.default_rng(0).random((3, 16, 16)).astype(np.float32)
    run = net.create_extractor()
    run.input("data", ncnn.Mat(given))
    _, answer = run.extract("output")
    with torch.inference_mode():
        ours = describe(file).model(torch.from_numpy(given)[None])[0].numpy()
    np.testing.assert_allclose(ours, np.array(answer), atol=2e-5, rtol=0)
