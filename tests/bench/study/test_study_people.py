"""Raters by the command: addresses, links, mail merge, QR sheets, and acts that ask first and can be taken back."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import numpy as np
import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.study import Study, address, load_study, reading, store
from facesr.bench.study.invitations import Invitation, merge_csv, read_contacts
from facesr.bench.study.undo import undo
from facesr.cli import main
from facesr.reports.invitations import CELL, COLUMNS, PAGE, ROWS, write_sheet
from fake_study import fake_run, small_study

DPI = 150


def study(*arguments: object) -> int:
    """Run ``facesr study ...``."""
    return main(["study", *map(str, arguments)])


def states(path: Path) -> dict[str, str]:
    """Name -> status."""
    opened = load_study(path)
    table = reading.raters(opened)
    opened.close()
    return dict(zip(table["name"], table["status"], strict=True))


@pytest.mark.parametrize(
    "url",
    ["study.example.org", "ftp://x.org", "https://", "https://a b.org", "https://x.org/?a=1", "https://x.org/#t", "https://u:p@x.org",
     "https://x.org:99999", "javascript:alert(1)", 'https://x.org/"><script>', "https://[", "https://x.org/{code}"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    """In one sentence with the value."""
    with pytest.raises(FaceSRError, match="is no address of a server"):
        address.checked_url(url)


def test_the_address_is_remembered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``create --url``, then every link has it; ``--url`` counts once; ``study url`` changes it; no address is said on stderr."""
    fake_run(tmp_path / "run")
    made, few = tmp_path / "study", ["--raters", 3, "--images", 4, "--anchors", 2]
    assert study("create", tmp_path / "run", *few, "--out", tmp_path / "x", "--url", "study.example.org") == 2
    assert "is no address of a server" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
    assert study("create", tmp_path / "run", *few, "--out", made, "--url", "https://study.example.org/one/") == 0
    assert "address      https://study.example.org/one" in capsys.readouterr().out
    assert study("invite", made, "--count", 1) == 0
    assert capsys.readouterr().out.startswith("r001\thttps://study.example.org/one/rate/#")
    assert study("invite", made, "--count", 1, "--url", "http://10.0.0.7:8501") == 0
    assert capsys.readouterr().out.startswith("r002\thttp://10.0.0.7:8501/rate/#")
    assert study("url", made, "https://elsewhere.example.org") == 0
    assert study("link", made, "r001") == 0
    assert "\thttps://elsewhere.example.org/rate/#" in capsys.readouterr().out
    assert study("replace", made, "r001", "--yes") == 0
    assert capsys.readouterr().out.startswith("r003\thttps://elsewhere.example.org/rate/#")
    (made / address.FILE).unlink()
    assert study("link", made, "r002") == 0
    said = capsys.readouterr()
    assert said.out.startswith("r002\thttp://localhost:8501/rate/#")
    assert "this machine only" in said.err


def test_links_for_mail_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One row per person with a link that works, no rater's name beside it, formulas quoted, for the owner's eyes only; never overwritten."""
    made = small_study(tmp_path, url="https://study.example.org")
    people = tmp_path / "people.csv"
    people.write_text('name;email\nAda;ada@example.org\n"=cmd|""/c calc""!A1";"+49 30"\n\n', encoding="utf-8-sig")
    out = tmp_path / "links.csv"
    assert study("invite", made.path, "--people", people, "--links", out, "--qr", tmp_path / "sheet.svg") == 0
    assert "#" not in capsys.readouterr().out  # no secret on the screen when it is in a file
    assert out.stat().st_mode & 0o777 == (tmp_path / "sheet.svg").stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [list(r) for r in rows] == [["name", "email", "link"]] * 2
    assert [(r["name"], r["email"]) for r in rows] == [("Ada", "ada@example.org"), ('\'=cmd|"/c calc"!A1', "'+49 30")]
    found = [store.by_token(made.engine, r["link"].split("https://study.example.org/rate/#")[1]) for r in rows]
    assert [r.name for r in found if r] == ["r001", "r002"]
    before = out.read_bytes()
    for wrong, message in (
        (["--links", out], "exists already"),
        (["--links", tmp_path / "no" / "l.csv"], "a folder that is not there"),
        (["--people", people], "say where that goes with --links"),
        (["--people", people, "--count", 2, "--links", tmp_path / "l.csv"], "exclude each other"),
        (["--count", 0], "invite 1 to"),
    ):
        assert study("invite", made.path, *wrong) == 2
        assert message in capsys.readouterr().err
    assert out.read_bytes() == before
    assert len(states(made.path)) == 2  # nothing was invited by a command that was refused
    made.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "no table of people"), ("name\n", "no table of people"), ("a,a\n1,2\n", "different names"), ("name,link\nA,b\n", "column 'link'"),
     ("a,b\n1\n", "row 2 has not as many cells")],
)  # fmt: skip
def test_lists_of_people_are_checked(tmp_path: Path, content: str, message: str) -> None:
    """One sentence each."""
    file = tmp_path / "people.csv"
    file.write_text(content)
    with pytest.raises(FaceSRError, match=message):
        read_contacts(file)


def test_links_alone_name_the_rater() -> None:
    """Without a list of people the table says whose link it is."""
    assert merge_csv([Invitation("r001", "https://x.org/rate/#t")]) == "rater,link\r\nr001,https://x.org/rate/#t\r\n"


@pytest.mark.parametrize("suffix", [".pdf", ".svg"])
def test_qr_codes_are_read_by_a_reader(tmp_path: Path, suffix: str) -> None:
    """Every code of a sheet of 14, drawn as vectors, says its link to OpenCV's reader."""
    import cv2

    links = [f"https://study.example.org/rate/#{k:032x}" for k in range(14)]
    file = tmp_path / f"sheet{suffix}"
    write_sheet(file, [Invitation(f"r{k:03d}", link) for k, link in enumerate(links)], "Faces $1 & more")
    assert file.stat().st_mode & 0o777 == 0o600
    page = rendered(file)
    left = int((PAGE[0] - COLUMNS * CELL[0]) / 2 * DPI)
    for k, link in enumerate(links):
        leaf, cell = divmod(k, COLUMNS * ROWS) if suffix == ".pdf" else (0, k)
        row, column = divmod(cell, COLUMNS)
        top = int((leaf * PAGE[1] + 0.5 + row * CELL[1]) * DPI)
        code = page[top : top + int(CELL[1] * DPI), left + int(column * CELL[0] * DPI) : left + int((column + 1) * CELL[0] * DPI)]
        assert cv2.QRCodeDetector().detectAndDecode(cv2.copyMakeBorder(code, 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=255))[0] == link
    with pytest.raises(FaceSRError, match=r"ends in \.pdf or \.svg"):
        write_sheet(tmp_path / "sheet.png", [Invitation("r", "https://x.org")], "t")


def rendered(file: Path) -> np.ndarray:
    """All pages below each other at ``DPI`` dots per inch, grey. PDF by poppler, SVG by Chromium."""
    import shutil
    import subprocess

    import cv2

    tool = "pdftoppm" if file.suffix == ".pdf" else "chromium"
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed: nothing here draws {file.suffix}")
    out = file.parent / "page"
    if file.suffix == ".pdf":
        subprocess.run([tool, "-r", str(DPI), "-png", str(file), str(out)], check=True)
    else:
        command = [tool, "--headless", "--no-sandbox", "--hide-scrollbars", f"--force-device-scale-factor={DPI / 96}"]
        subprocess.run(
            [*command, "--window-size=820,1400", f"--screenshot={out}.png", file.as_uri()], check=True, capture_output=True
        )
    pages = [cv2.imread(str(f), cv2.IMREAD_GRAYSCALE) for f in sorted(file.parent.glob("page*.png"))]
    return np.vstack([p for p in pages if p is not None])


# --- asking and undoing -------------------------------------------------------------------------------------------------------------


def answer(made: Study, name: str, count: int = 5) -> None:
    """Consent and a few answers."""
    with made.engine.connect() as connection:
        rater = store.find_rater(connection, name)
    store.consent(made.engine, rater, "en")
    for position in range(1, count + 1):
        store.rate(made.engine, rater, position, None if position < 5 else 4)


def test_acts_ask_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal --yes is needed; on one, anything but a yes changes nothing. A mistyped name is refused before anything is asked."""
    made = small_study(tmp_path)
    assert study("invite", made.path, "--count", 2) == 0
    acts: list[list[object]] = [
        ["pause", made.path, "r001"], ["pause", made.path, "all"], ["replace", made.path, "r001"], ["exclude", made.path, "r001", "--rule", "odd"],
        ["delete-rater", made.path, "r001"],
    ]  # fmt: skip
    for act in acts:
        assert study(*act) == 2
        assert "repeat with --yes" in capsys.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for said in ("n\n", "\n", ""):
        for act in acts:
            monkeypatch.setattr(sys, "stdin", Terminal(said))
            assert study(*act) == 2
            assert "nothing was changed" in capsys.readouterr().err
    assert states(made.path) == {"r001": "invited", "r002": "invited"}
    assert not reading.exclusions(made)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert study("pause", made.path, "r001") == 0
    assert "r001 (invited, 0 items answered) will see that the study is paused. Go on? [y/N]" in capsys.readouterr().err
    assert states(made.path)["r001"] == "paused"
    assert study("exclude", made.path, "r01", "--rule", "x") == 2
    assert "did you mean 'r001'?" in capsys.readouterr().err
    made.close()


class Terminal(io.StringIO):
    """Standard input as a terminal would be."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_every_act_is_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pause, exclusion, replacement: the state before, exactly; the log keeps both."""
    made = small_study(tmp_path)
    assert study("invite", made.path, "--count", 3) == 0
    links = {line.split("\t")[0]: line.split("#")[1] for line in capsys.readouterr().out.splitlines()}
    answer(made, "r002")
    before = states(made.path), reading.exclusions(made), made.ratings()
    for name, act in (("r001", "pause"), ("r002", "pause"), ("r002", "replace"), ("r002", "exclude")):
        extra = ["--rule", "odd"] if act == "exclude" else []
        assert study(act, made.path, name, *extra, "--yes") == 0
        changed = states(made.path) != before[0] or reading.exclusions(made) != before[1]
        assert changed
        assert study("undo", made.path, name) == 0
        now = {n: s for n, s in states(made.path).items() if n in before[0]}
        assert now == before[0], act
        assert {n: r for n, r in reading.exclusions(made).items() if n in before[0]} == before[1]
        assert made.ratings().equals(before[2])
    assert store.by_token(made.engine, links["r002"]) is not None  # the old link works
    assert list(reading.events(made)["kind"]).count("undone") == 4
    assert study("undo", made.path, "r002") == 2
    assert "nothing to undo about r002" in capsys.readouterr().err
    made.close()


def test_undoing_all_leaves_those_who_were_paused_before(tmp_path: Path) -> None:
    """One was paused alone: undoing 'pause all' is not about that one, and people may join again."""
    made = small_study(tmp_path)
    for _ in range(3):
        store.seat_rater(made.engine, rows=3)
    assert study("pause", made.path, "r002", "--yes") == 0
    assert study("pause", made.path, "all", "--yes") == 0
    assert set(states(made.path).values()) == {"paused"}
    assert study("undo", made.path, "all") == 0
    assert states(made.path) == {"r001": "invited", "r002": "paused", "r003": "invited"}
    assert study("undo", made.path, "all") == 2
    made.close()


def test_a_replacement_who_has_begun_is_not_undone(tmp_path: Path) -> None:
    """Two people's ratings on one row of the design would count twice."""
    made = small_study(tmp_path)
    store.seat_rater(made.engine, rows=3)
    answer(made, "r001")
    store.replace(made.engine, "r001", "ill")
    answer(made, "r002", 1)
    with pytest.raises(FaceSRError, match="r002, in the place of r001, has answered 1 items"):
        undo(made, "r001")
    made.close()


def test_an_exclusion_of_imported_ratings_is_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same two acts, without a database."""
    rows = [f"{r},{f},{c},{s}" for r in "AB" for f in "xy" for c, s in (("psp", 4), ("hr", 5))]
    (tmp_path / "t.csv").write_text("\n".join(["rater,face,condition,score", *rows]))
    assert study("import", tmp_path / "t.csv", "--out", tmp_path / "imported") == 0
    assert study("exclude", tmp_path / "imported", "A", "--rule", "odd", "--yes") == 0
    assert set(load_study(tmp_path / "imported").ratings()["rater"]) == {"B"}
    assert study("undo", tmp_path / "imported", "A") == 0
    assert set(load_study(tmp_path / "imported").ratings()["rater"]) == {"A", "B"}
    assert study("undo", tmp_path / "imported", "A") == 2
