"""What a run notes of itself, as people read it: no folder of anybody's machine, no Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_run import make_run

from facesr.bench.results import CallInfo, MethodInfo, MetricInfo
from facesr.reports import facts
from facesr.reports.scores import open_runs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/home/me/nets/mine.py:Mine", "…/mine.py:Mine"),
        ("folder:/data/my faces/x", "folder:…/my faces/x"),
        ("weights in /mnt/a/b.pt and ~/c/d.pt", "weights in …/b.pt and …/d.pt"),
        (r"C:\Users\me\net.pt", "…/net.pt"),
        ("https://download.example.org/a/b.pth", "https://download.example.org/a/b.pth"),
        ("facesr.methods.psp:PSP, sr/psp/1.png, 1/2", "facesr.methods.psp:PSP, sr/psp/1.png, 1/2"),
    ],
)
def test_folders_are_left_out(text: str, said: str) -> None:
    assert facts.without_folders(text) == said


def test_a_method_and_a_metric_are_one_line_without_empty_parts() -> None:
    method = MethodInfo(label="mine", target="/home/me/mine.py:Mine", params={"steps": 3, "fast": True}, weights={"net": "ab" * 32})
    assert (
        facts.method_facts(method) == f"settings: steps = 3, fast = yes; weights: net (sha256 {'ab' * 32}); class: …/mine.py:Mine"
    )
    metric = MetricInfo(label="PSNR", unit="dB", conventions="RGB", source="BasicSR")
    assert facts.metric_facts(metric) == "PSNR in dB, higher is better; RGB; source: BasicSR"


def test_protocol_and_times_are_in_words(tmp_path: Path) -> None:
    info = open_runs([make_run(tmp_path / "run", faces=3)]).runs[0].info
    found = dict(facts.protocol_facts(info))
    assert found["Digest of protocol and data"] == info.digest and "Downscaling factor" in found
    assert not any("." in key or "_" in key for key in found)
    assert facts._span("2026-11-26T12:44:58+00:00", None) == "2026-11-26 12:44:58 UTC, not finished"
    call = CallInfo(started="2026-11-26T12:44:58+00:00", finished="2026-11-26T12:45:25+00:00")
    assert facts._span(call.started, call.finished) == "2026-11-26 12:44:58 to 2026-11-26 12:45:25 UTC"
