"""A protocol for LR images of one's own, where none is named: what can be compared is what there is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from facesr.bench import protocol as protocols
from facesr.bench.errors import FaceSRError

if TYPE_CHECKING:
    from facesr.bench.protocol import Protocol

WITH_HR = ("psnr", "psnr-y", "ssim", "st-lpips-alex", "identity-sface", "consistency", "consistency-pass")
WITHOUT = ("niqe?block=32", "face-found", "consistency", "consistency-pass")
PERSON = "identity-sface-detected"
"""What is measured unless told otherwise."""


def with_own_lr(
    protocol: Protocol | None,
    lr: str | None,
    *,
    hr: bool,
    references: str | None = None,
    size: int | None = None,
    names: str | None = None,
) -> Protocol:
    """``protocol`` on LR images of one's own (``lr``, a folder); without a protocol one is made: target side ``size`` (128), bicubic for ε.

    ``names``: how its files are named, see ``facesr.bench.protocol.OwnLr``. ``hr``: whether a folder of HR is given.
    ``references``: photos of the people, where there is no HR.
    """
    from facesr.bench.registry import parse_metric

    problems = []
    if protocol is None and not lr:
        problems.append("name a protocol ('facesr protocols' lists them), or LR images with --lr FOLDER")
    if references and not lr and not (protocol and protocol.lr):
        problems.append("--references is for LR without HR: give --lr")
    if references and (hr or (protocol and protocol.against == "hr")):
        problems.append("--references is for LR without HR, and there is HR: leave one of them out")
    if names and not lr and not (protocol and protocol.lr):
        problems.append("--lr-names is for LR images of one's own: give --lr")
    if size is not None and (not lr or protocol is not None):
        problems.append("--size goes with --lr and no protocol, which has a size of its own")
    if size is not None and not 8 <= size <= 4096:
        problems.append(f"--size {size}: give 8 to 4096 pixels a side")
    if problems:
        raise FaceSRError("; ".join(problems))
    if protocol is None:
        assert lr is not None
        chosen = WITH_HR if hr else (*WITHOUT, *([PERSON] if references else []))
        protocol = protocols.Protocol(
            "own-lr", 1, "LR images of one's own", protocols.Data("none", "all", size or 128), protocols.Degradation("bicubic-matlab"),
            tuple(protocols.MetricSpec(*parse_metric(name)) for name in chosen), lr=protocols.OwnLr(lr, references or "", names or ""),
        )  # fmt: skip
    elif lr or references or names:
        own = protocol.lr
        folder = lr or (own.folder if own else "")
        plain = replace(protocol.degradation, scale=(), quantize=True)
        protocol = replace(
            protocol,
            degradation=plain,
            lr=protocols.OwnLr(
                folder, references or (own.references if own and not hr else ""), names or (own.names if own and not lr else "")
            ),
        )
    return protocol
