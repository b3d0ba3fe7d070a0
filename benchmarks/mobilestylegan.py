"""MobileStyleGAN at 1024², f32: ours against openvino running the published graph, same weights, same run, one thread each.

Goals: a forward pass within 2 times openvino's time, forward and backward (the gradient to W+) within 6 times. Ours must lie
within 1e-4 of float64 (openvino's float32 is 1.4e-4 away). Also the 128² generator that PULSE and pSp use by default: forward and backward
within 0.3 s per face.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence

import torch

from benchmarks import interleaved, line
from facesr.bench.errors import WeightsMissing
from facesr.bench.weights import find_weight
from facesr.methods.generators.files import IR_WEIGHTS
from facesr.methods.generators.mobilestylegan import MobileStyleGAN
from facesr.methods.generators.mobilestylegan128 import MobileStyleGAN128

REPEATS, TOLERANCE, SECONDS = 5, 1e-4, 0.3


def gradient(generator: MobileStyleGAN | MobileStyleGAN128, w: torch.Tensor) -> torch.Tensor | None:
    """One forward and backward pass to W+."""
    codes = generator.broadcast(w).clone().requires_grad_()
    generator.synthesize(codes).square().mean().backward()  # type: ignore[no-untyped-call]
    return codes.grad


def main(argv: Sequence[str]) -> int:
    """Print the three comparisons; 1 where a goal is missed."""
    try:
        import openvino

        files = [find_weight(name) for name in IR_WEIGHTS]
    except (ImportError, WeightsMissing) as error:
        print(f"skipped: {error}")
        return 0
    torch.set_num_threads(1)
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    published = openvino.Core().compile_model(files[2], "CPU", settings)
    generator = MobileStyleGAN.from_checkpoint(files[0].parent)
    small = MobileStyleGAN128.from_checkpoint()
    w = generator.truncate(generator.map(torch.randn(1, 512, generator=torch.Generator().manual_seed(0))), 0.7)
    with torch.no_grad():
        exact = copy.deepcopy(generator).double().synthesize(w.double())
        apart, peer = (
            float((image - exact).abs().max()) for image in (generator.synthesize(w), torch.from_numpy(published(w.numpy())[0]))
        )
    print(f"largest difference from float64 {apart:.1e}, tolerance {TOLERANCE:g}; openvino's {peer:.1e}")
    works: list[Callable[[], object]] = [lambda: published(w.numpy()), lambda: generator.synthesize(w)]
    works += [lambda: gradient(generator, w), lambda: gradient(small, w)]
    theirs, forward, both, default = interleaved(works, REPEATS)
    good = [
        apart <= TOLERANCE,
        line("1024² forward, against openvino's forward", forward, theirs, 1 / 2),
        line("1024² forward and backward, against openvino's forward", both, theirs, 1 / 6),
        line("128² forward and backward, against 0.3 s", default, SECONDS, 1),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
