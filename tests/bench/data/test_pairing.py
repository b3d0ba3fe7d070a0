"""Which file is which face's: rules, leftovers on both sides, refusals. Used by ``score``, ``run`` with ``folder:``, and programs' output."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

import facesr
from facesr.bench.data.pairing import Partners, Rule, likely
from facesr.bench.errors import FaceSRError
from facesr.bench.imaging import write_png
from facesr.bench.registry import split_specs
from facesr.cli import main
from helpers import TINY, faces, picture


def folder(place: Path, *names: str) -> Path:
    """A folder of empty files: pairing looks at names only."""
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"")
    return place


@pytest.mark.parametrize(
    ("rule", "file"),
    [
        (Rule(), "demo-09.png"),
        (Rule(), "DEMO-09.JPG"),
        (Rule(suffix="_sr"), "demo-09_sr.png"),
        (Rule(suffix="_sr"), "demo-09_SR.webp"),
        (Rule(suffix="_sr.png"), "demo-09_sr.png"),
        (Rule(pattern="{name}_sr.png"), "demo-09_sr.png"),
        (Rule(pattern="sr_{name}"), "sr_demo-09.jpg"),
        (Rule(pattern="{name}_*_final"), "demo-09_step200_final.png"),
        (Rule(pattern="*-{name}.png"), "0001-demo-09.png"),
        (Rule(pattern="{name}/out.png"), "demo-09/out.png"),
        (Rule(pattern="x8/{name}"), "x8/demo-09.png"),
    ],
)
def test_every_rule_finds_its_file_and_names_what_is_left(rule: Rule, file: str, tmp_path: Path) -> None:
    other = re.sub("demo-09", "other", file, flags=re.IGNORECASE)
    folder(tmp_path, file, other, "notes.txt")
    found = Partners(tmp_path, rule).match(["absent", "demo-09"])
    assert found.files == {"demo-09": tmp_path / file}
    assert found.without == ("absent",)
    assert found.unused == (other,)


def test_both_forms_of_unicode_and_a_star_in_a_name_pair(tmp_path: Path) -> None:
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        place = tmp_path / form
        place.mkdir()
        folder(place, unicodedata.normalize(form, "Zoë_sr.png"), "a*b_sr.png", "axb_sr.png")
        name = unicodedata.normalize(other, "Zoë")
        assert set(Partners(place, Rule(suffix="_sr")).match([name, "a*b"]).files) == {name, "a*b"}


@pytest.mark.parametrize(
    ("rule", "files", "names", "said"),
    [
        (Rule(), ["1.png", "1.jpg"], ["1"], "several images of '1' (1.jpg, 1.png)"),
        (Rule(), ["a.png", "A.png"], ["a"], "several images of 'a'"),
        (Rule(pattern="{name}_*"), ["a_1.png", "a_2.png"], ["a"], "several images of 'a'"),
        (Rule(pattern="{name}_*"), ["a_b_c.png"], ["a", "a_b"], "could be 'a' and 'a_b'"),
        (Rule(), ["demo-09_sr.png", "demo-10_sr.png"], ["demo-09", "demo-10"], "probably suffix '_sr'"),
        (Rule(), ["sr_1.png", "sr_2.png", "1_lr.png"], ["1", "2"], "probably pattern 'sr_{name}'"),
        (Rule(suffix="_sr"), ["1_x8.png"], ["1"], "probably suffix '_x8'"),
        (Rule(), ["x.png"], ["1"], "a CSV of two columns"),
        (Rule(), ["x.txt"], ["1"], "holds no images"),
    ],
)
def test_what_does_not_pair_in_one_way_is_refused(
    rule: Rule, files: list[str], names: list[str], said: str, tmp_path: Path
) -> None:
    folder(tmp_path, *files)
    with pytest.raises(FaceSRError) as caught:
        Partners(tmp_path, rule).match(names)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rules_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    for wrong in ({"suffix": "_sr", "pattern": "{name}"}, {"pattern": "_sr"}, {"pattern": "../{name}"}, {"suffix": "/x"}):
        with pytest.raises(FaceSRError):
            Rule(**wrong)
    with pytest.raises(FaceSRError, match="no folder"):
        Partners(tmp_path / "nowhere").match(["a"])
    assert likely(["000"], ["000"]) is None  # it pairs: nothing to suggest


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_a_csv_of_pairs(mark: str, comma: str, tmp_path: Path) -> None:
    folder(tmp_path, "out 1.png", "out,2.png", "out3.png")
    file = tmp_path / "pairs.csv"
    lines = [f"name{comma}file", f"Zoe\u0308.png{comma}out 1.png", f'b{comma}"out,2.png"', ""]
    file.write_text(mark + "\n".join(lines), encoding="utf-8")
    found = Partners(tmp_path, Rule(pairs=str(file))).match(["Zo\u00eb", "b", "c"])
    assert found.files == {"Zo\u00eb": tmp_path / "out 1.png", "b": tmp_path / "out,2.png"}
    assert (found.without, found.unused) == (("c",), ("out3.png",))
    for row, said in (
        ("b,out3.png", "has a file already"),
        ("x,out3.png\ny,out3.png", "given to several"),
        ("x,no.png", "no file"),
        ("x", "line"),
    ):
        file.write_text(f"b,out 1.png\n{row}\n")
        with pytest.raises(FaceSRError, match=said):
            Partners(tmp_path, Rule(pairs=str(file))).match(["b", "x", "y"])


def test_the_command_pairs_by_suffix_and_reports_both_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hr, sr = faces(tmp_path / "hr", 4), tmp_path / "a,b"
    sr.mkdir()
    for i in range(3):
        write_png(sr / f"{i:03d}_sr.png", np.clip(picture(i).astype(int) + 10, 0, 255).astype(np.uint8))
    write_png(sr / "mean.png", picture(9))
    words = ["score", str(sr), "--hr", str(hr), "--metrics", "psnr"]
    assert main(words) == 2
    assert "probably suffix '_sr'" in capsys.readouterr().err
    assert main([*words, "--suffix", "_sr", "--out", str(tmp_path / "cells.csv")]) == 1  # face 003 has no image
    said = capsys.readouterr().out
    assert "1 without a score: no sr image of this face (003)" in said
    assert "1 images belong to no face: sr/mean" in said
    found = facesr.score(sr, hr, ["psnr"], pattern="{name}_sr.png").frame.set_index("image")
    assert list(found["status"]) == ["ok", "ok", "ok", "missing"]
    (tmp_path / "tiny.toml").write_text(TINY)
    run = [str(tmp_path / "tiny.toml"), "--data", str(hr), "--metrics", "psnr", "--workers", "1", "--out"]
    assert main(["run", *run, str(tmp_path / "r1"), "--methods", f"bicubic,m=folder:{sr}"]) == 2
    assert "probably suffix '_sr'" in capsys.readouterr().err
    assert main(["run", *run, str(tmp_path / "r2"), "--methods", f"bicubic,m=folder:{sr}", "--set", "m.suffix=_sr"]) == 1
    said = capsys.readouterr().out
    assert "m: 1 images of" in said and "mean.png" in said
    assert "no image named 003" in said
    assert (
        main(["score", str(sr), "--protocol", *run, str(tmp_path / "r3"), "--label", "m", "--suffix", "_sr", "--limit", "2"]) == 0
    )
    assert "mean.png" in (said := capsys.readouterr().out) and "1 images of" in said  # faces beyond --limit are no leftovers
    theirs = facesr.load(tmp_path / "r3").scores
    assert np.allclose(theirs["value"], found["value"].iloc[:2])


def test_commas_and_equals_signs_in_paths(tmp_path: Path) -> None:
    place = folder(tmp_path / "x,y=1", "my.py", "a.png")
    for text in (f"m={place / 'my.py'}:M", f"folder:{place}", f"m=folder:{place}"):
        assert split_specs(f"bicubic,{text},nearest") == ["bicubic", text, "nearest"]
