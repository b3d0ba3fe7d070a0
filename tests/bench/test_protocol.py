"""Protocols: what ships is valid, and every problem of a file is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from facesr.bench import protocol
from facesr.bench.errors import FaceSRError
from facesr.bench.registry import installed
from helpers import TINY

METRICS = installed("facesr.metrics")


@pytest.mark.parametrize("name", protocol.protocol_names())
def test_shipped_protocols_are_valid(name: str) -> None:
    found = protocol.load_protocol(name, METRICS)
    assert found.name == name
    assert found.consistency.epsilon == 1e-3
    assert found.degradation.kernel == "bicubic-matlab"
    if found.against == "hr":
        assert {"psnr", "ssim", "consistency", "consistency-pass"} <= {m.name for m in found.metrics}


def test_what_is_promised_ships() -> None:
    assert {"celebahq-x8-128", "celebahq-sweep-128", "london-x8-128", "demo-x8-128"} <= set(protocol.protocol_names())
    paper = protocol.load_protocol("celebahq-x8-128")
    assert (paper.study.raters, paper.study.images, paper.study.anchors, paper.study.scale) == (40, 40, 20, (1, 5))
    published = [c for c in paper.study.conditions if c != "psp-refined"]  # beside the paper's six conditions
    assert len(published) * paper.study.images == 240  # the paper's 240 images
    assert protocol.load_protocol("celebahq-sweep-128").degradation.scale == (1, 2, 4, 8, 16, 32)


def test_all_problems_come_together() -> None:
    text = (
        TINY.replace('split = "all"', 'splitt = "all"')
        .replace("size = 64", "size = 100")
        .replace('kernel = "bicubic-matlab"', 'kernel = "bicubic"')
        .replace("version = 1", 'version = "1"')
        .replace('name = "psnr"', 'name = "psrn"')
        .replace("epsilon = 1e-3", "epsilon = 3")
    )
    with pytest.raises(FaceSRError) as caught:
        protocol.parse_protocol(text, "mine.toml", METRICS)
    message = str(caught.value)
    assert "mine.toml: 7 problems" in message
    for part in (
        "did you mean 'split'",
        "'data.split' is missing",
        "size 100 and scale 8",
        "'degradation.kernel' is 'bicubic'",
        "'version' is '1'",
        "did you mean 'psnr'",
        "'consistency.epsilon' is 3",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("scale = 8", "scale = [8, 8]", "'degradation.scale'"),
        ("scale = 8", "scale = 6.5", "must be a whole number"),
        ("scale = 8", "scale = true", "'degradation.scale.1' is true"),
        ("scale = 8", "scale = 32", "at least 4 pixels"),
        ("quantize = true", 'quantize = "yes"', "must be true or false"),
        ("[consistency]", "[consistncy]", "did you mean 'consistency'"),
        ('name = "ssim"', 'name = "psnr"', "named twice"),
        ('name = "ssim"', "nam = 1", "number 2 has no name"),
        ("raters = 2", "raters = 0", "'study.raters' is 0"),
        ("[data]", "[data", "not valid TOML"),
    ],
)
def test_single_problems(old: str, new: str, says: str) -> None:
    with pytest.raises(FaceSRError, match=says):
        protocol.parse_protocol(TINY.replace(old, new), metrics=METRICS)


def test_digest_covers_what_changes_a_number() -> None:
    base = protocol.parse_protocol(TINY).digest
    same = TINY.replace("made for tests", "another word").replace("raters = 2", "raters = 9")
    assert protocol.parse_protocol(same).digest == base
    for old, new in (
        ("scale = 8", "scale = 4"),
        ("quantize = true", "quantize = false"),
        ("1e-3", "2e-3"),
        ('name = "ssim"', 'name = "ssim-y"'),
        ('name = "psnr"', 'name = "psnr"\nborder = 4'),
    ):
        assert protocol.parse_protocol(TINY.replace(old, new)).digest != base, new
    assert protocol.parse_protocol(TINY).with_data("folder:mine").digest != base


def test_by_name_or_file(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(TINY)
    assert protocol.load_protocol(str(tmp_path / "p.toml")).name == "tiny-x8"
    with pytest.raises(FaceSRError, match="did you mean 'london-x8-128'"):
        protocol.load_protocol("london-x8-12")
    with pytest.raises(FaceSRError, match="no protocol file"):
        protocol.load_protocol("absent.toml")
