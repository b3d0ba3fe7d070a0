"""Where the weight files of the generators lie: names and paths alone, so that a plan is made without torch."""

from __future__ import annotations

from pathlib import Path

SMALL = Path(__file__).parent / "weights" / "mobilestylegan128.safetensors"
"""Of the 128² generator; comes with the project."""
IR_FILES = ("MappingNetwork.xml", "MappingNetwork.bin", "SynthesisNetwork.xml", "SynthesisNetwork.bin")
"""Of MobileStyleGAN, as OpenVINO stores it."""
IR_WEIGHTS = ("random-face-mapping-xml", "random-face-mapping-bin", "random-face-synthesis-xml", "random-face-synthesis-bin")
"""Their names in the catalogue of weights, in the order of ``IR_FILES``."""
