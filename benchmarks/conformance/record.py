"""Record sureal's figures of the simulated ratings for tests that run without it: ``python -m benchmarks.conformance.record``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.conformance.statistics import sureal_model, sureal_table

FILE = Path(__file__).parents[2] / "tests" / "conformance" / "vectors" / "sureal_simulated.npz"
KEPT = {
    "MosModel": ("quality_scores", "quality_scores_std"),
    "BT500Model": ("quality_scores", "observer_rejected"),
    "BiasremvMosModel": ("quality_scores", "observer_bias"),
    "P913124Model": ("quality_scores", "observer_rejected"),
    "P910AnnexEModel": ("quality_scores", "quality_scores_std", "observer_bias", "observer_inconsistency"),
}


def main() -> None:
    """Four panels: complete and 30 % missing, without and with four raters who answer at random."""
    arrays = {}
    for missing in (0.0, 0.3):
        for noisy in (False, True):
            panel = f"missing {missing:g}, noisy {int(noisy)}"
            arrays[panel] = np.nan_to_num(sureal_table(missing, noisy)).astype(np.uint8)
            for model, keys in KEPT.items():
                made = sureal_model(model, missing, noisy)
                arrays |= {f"{panel}/{model}/{key}": np.asarray(made[key], dtype=np.float64) for key in keys}
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
