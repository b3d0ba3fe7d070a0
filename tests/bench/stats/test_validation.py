"""Metrics against people: what is trusted, a composite on faces and methods it has not seen, and the sentences; recomputed by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.scored import directions, read_scored
from facesr.bench.stats.validation import Validation, validate
from facesr.cli import main

METHODS = ["bicubic", "fsrnet", "pulse", "psp"]
QUALITY = np.array([1.7, 2.6, 3.2, 3.9])
APART = [(b, a) for i, a in enumerate(METHODS) for b in METHODS[i + 1 :]]


def _data(seed: int = 0, faces: int = 24) -> tuple[np.ndarray, dict[str, np.ndarray], list[str], list[str]]:
    rng = np.random.default_rng(seed)
    true = QUALITY + 0.3 * rng.normal(size=(faces, 1)) + 0.3 * rng.normal(size=(faces, 4))
    metrics = {
        "good": true + 0.3 * rng.normal(size=true.shape),
        "lower": -true - 0.6 * rng.normal(size=true.shape),
        "psnr": 25 - 2 * QUALITY + rng.normal(size=true.shape),
    }
    names = [f"f{i:02}" for i in range(faces)]
    return true.ravel(), {k: v.ravel() for k, v in metrics.items()}, list(np.repeat(names, 4)), METHODS * faces


def _validate(**changes: object) -> Validation:
    mos, metrics, faces, methods = _data()
    given = {"metrics": metrics, "mos": mos, "half_widths": np.full(len(mos), 0.3), "faces": faces, "methods": methods,
             "higher_is_better": {"lower": False}, "told_apart": APART}  # fmt: skip
    return validate(**{**given, **changes})  # type: ignore[arg-type]


def test_what_is_trusted_and_why() -> None:
    mos, metrics, _, _ = _data()
    found = _validate()
    assert found.trusted == "good"
    assert found.sentences[0].startswith("For this comparison trust good: SROCC 0.9")
    assert "orders 6 of the 6 pairs" in found.sentences[0]
    assert found.orders["psnr"].reversed == tuple(APART) and not found.orders["good"].reversed
    assert any("psnr puts" in s and "and 3 more" in s for s in found.sentences)
    assert any(s.startswith("psnr points the wrong way") for s in found.sentences)
    by = {a.metric: a for a in found.ranking.agreements}
    assert by["lower"].krocc.mean == pytest.approx(-kendalltau(metrics["lower"], mos).statistic)
    assert by["lower"].krocc.low < by["lower"].krocc.mean < by["lower"].krocc.high
    within = np.mean([spearmanr(metrics["good"][k::4], mos[k::4]).statistic for k in range(4)])
    assert found.within["good"].mean == pytest.approx(within)


def test_jackknife_of_faces_by_hand() -> None:
    """SROCC's interval: Fisher's z without each face, t with 23 degrees of freedom."""
    from scipy.stats import t

    mos, metrics, _, _ = _data()
    x = metrics["good"]
    z = np.arctanh(spearmanr(x, mos).statistic)
    faces = [slice(4 * i, 4 * i + 4) for i in range(24)]
    left = np.array([np.arctanh(spearmanr(np.delete(x, f), np.delete(mos, f)).statistic) for f in faces])
    reach = t.ppf(0.975, 23) * np.sqrt(23 / 24 * ((left - left.mean()) ** 2).sum())
    found = _validate().ranking.agreements[0].srocc
    assert (found.low, found.high) == (pytest.approx(np.tanh(z - reach)), pytest.approx(np.tanh(z + reach)))


def test_composite_never_sees_the_face_nor_the_method() -> None:
    """Each prediction recomputed by ordinary least squares (all weights are positive here) without its fold and its method."""
    mos, metrics, faces, methods = _data()
    two = {k: metrics[k] for k in ("good", "lower")}
    found = _validate(metrics=two).composite
    assert found is not None and all(w > 0 for w in found.weights.values())
    x = np.column_stack([np.ones(len(mos)), two["good"], -two["lower"]])
    fold = np.array([int(f[1:]) % 10 for f in faces])
    for i in range(0, len(mos), 7):
        train = (fold != fold[i]) & (np.array(methods) != methods[i])
        assert found.predicted[i] == pytest.approx(x[i] @ np.linalg.lstsq(x[train], mos[train], rcond=None)[0])
    assert found.srocc.mean == pytest.approx(spearmanr(found.predicted, mos).statistic)
    assert found.rmse == pytest.approx(np.sqrt(np.mean((np.array(found.predicted) - mos) ** 2)))


def test_composite_of_noise_predicts_nothing() -> None:
    """In-sample twenty metrics of noise would correlate with anything."""
    rng = np.random.default_rng(3)
    mos, _, _, _ = _data()
    noise = {f"n{k}": rng.normal(size=len(mos)) for k in range(20)}
    found = _validate(metrics=noise, higher_is_better={})
    assert found.composite is not None and found.composite.srocc.mean < 0.2
    assert found.trusted is None and found.sentences[0].startswith("No metric can be trusted for this comparison")


def test_nothing_to_trust_is_said() -> None:
    assert "people themselves tell no two" in _validate(told_apart=[]).sentences[0]
    mos, metrics, faces, methods = _data()
    turned = _validate(metrics={"psnr": metrics["psnr"], "lower": metrics["psnr"]})
    assert turned.trusted in (None, "lower")  # -psnr points the right way
    one = _validate(metrics={"good": metrics["good"]})
    assert one.composite is None and "a composite needs two" in one.composite_refused
    keep = [i for i, m in enumerate(methods) if m in ("psp", "pulse")]
    few = validate({k: v[keep] for k, v in metrics.items()}, mos[keep], np.full(len(keep), 0.3), [faces[i] for i in keep],
                   [methods[i] for i in keep], {"lower": False}, [("psp", "pulse")])  # fmt: skip
    assert few.composite is None and "24 faces and 2 methods" in few.composite_refused


def test_order_of_rows_and_names_change_nothing() -> None:
    mos, metrics, faces, methods = _data()
    mixed = np.random.default_rng(1).permutation(len(mos))
    again = _validate(
        metrics={k: v[mixed] for k, v in metrics.items()}, mos=mos[mixed], faces=[faces[i] for i in mixed], methods=[methods[i] for i in mixed]
    )  # fmt: skip
    first = _validate()
    assert again.sentences == first.sentences
    assert again.composite is not None and first.composite is not None
    assert again.composite.srocc.mean == pytest.approx(first.composite.srocc.mean)
    shifted = _validate(metrics={k: 3 * v + 7 for k, v in metrics.items()})
    assert shifted.composite is not None and shifted.composite.srocc.mean == pytest.approx(first.composite.srocc.mean)


def test_directions_are_known_or_asked() -> None:
    known = {"psnr": True, "lpips-alex": False, "lpips-squeeze": False}
    assert directions(["PSNR", "LPIPS", "mine"], known, higher=["Mine"]) == {"PSNR": True, "LPIPS": False, "mine": True}
    with pytest.raises(FaceSRError, match="not known of mine, yours: say --higher mine or --lower mine"):
        directions(["psnr", "mine", "yours"], known)
    with pytest.raises(FaceSRError, match="no metric 'ssim' in the table"):
        directions(["psnr"], known, lower=["ssim"])


def _tables(folder: Path) -> tuple[Path, Path]:
    mos, metrics, faces, methods = _data()
    rng = np.random.default_rng(9)
    ratings, scores = folder / "ratings.csv", folder / "scores.csv"
    with ratings.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["rater", "face", "method", "score"])
        for r in range(8):
            out.writerows(
                [f"r{r}", f, m, int(np.clip(np.rint(v + 0.6 * rng.normal()), 1, 5))]
                for f, m, v in zip(faces, methods, mos, strict=True)
            )
    with scores.open("w", newline="") as file:
        out = csv.writer(file, delimiter=";")
        out.writerow(["File", "PSNR", "mine"])
        for f, m, p, g in zip(faces, methods, metrics["psnr"], metrics["good"], strict=True):
            out.writerow([f"{m}/{f}.png", f"{p:.3f}".replace(".", ","), f"{g:.3f}"])
    return ratings, scores


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ratings, scores = _tables(tmp_path)
    assert main(["metrics", "validate", str(ratings), str(scores)]) == 2
    assert "--higher mine or --lower mine" in capsys.readouterr().err
    assert main(["metrics", "validate", str(ratings), str(scores), "--higher", "mine"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("For this comparison trust mine: SROCC") and "| composite, on unseen faces and methods |" in shown
    assert main(["metrics", "validate", str(ratings), str(scores), "--higher", "mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trusted"] == "mine" and told["images"] == 96
    assert {m["metric"] for m in told["metrics"]} == {"PSNR", "mine"} and len(told["composite"]["predicted"]) == 96
    assert main(["metrics", "validate", str(ratings), str(scores), "--lower", "mine"]) == 1  # the wrong way round: nothing to trust
    assert "No metric can be trusted" in capsys.readouterr().out
    assert main(["metrics", "psnr", "--higher", "mine"]) == 2
    assert "--higher belongs to 'facesr metrics validate" in capsys.readouterr().err
    for wrong, why in ((["--peek"], "is a rating table"), (["--json", "--format", "csv"], "two forms")):
        assert main(["metrics", "validate", str(ratings), str(scores), "--higher", "mine", *wrong]) == 2
        assert why in capsys.readouterr().err
    other = tmp_path / "other.csv"
    other.write_text("face,method,psnr\nx,a,1\ny,b,2\n")
    assert main(["metrics", "validate", str(ratings), str(other)]) == 2
    assert "no rated image has a score: ratings are of faces such as 'f00'" in capsys.readouterr().err


def test_tables_of_scores(tmp_path: Path) -> None:
    long = tmp_path / "long.csv"
    long.write_text(
        "image,method,metric,value,status\na,x,psnr,20,ok\na,x,ssim,.5,ok\nb,x,psnr,,failed\nb,x,ssim,.6,ok\n*,x,kid,.1,ok\n"
    )
    read = read_scored(long)
    assert read.metrics == ("psnr", "ssim") and read.table["psnr"].isna().sum() == 1
    assert read.notes == ("1 scores are no numbers: those images are left out",)
    long.write_text("image,method,metric,value\na,x,psnr,20\na,x,psnr,21\n")
    with pytest.raises(FaceSRError, match="psnr of face 'a' by 'x' twice"):
        read_scored(long)
    long.write_text("image,psnr\na,20\nb,21\n")
    with pytest.raises(FaceSRError, match="no column names the method"):
        read_scored(long)
    long.write_text("face,method,psnr\na,x,20\nb,x,n/a\nc,x,22\n")
    assert read_scored(long).notes == ("psnr: 1 cells are no number, such as 'n/a' in row 3: those images are left out",)
