"""Every option of every act of ``facesr study``, given once: what is printed, written or shown to a rater differs, or it is refused.

``study.json`` and the digest repeat the request and are not looked at: what acts must be seen elsewhere.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from looking import Case, Refused, Seen, acts, how_ratings_are_read, look, options
from people import ACTS, come, one_person
from spies import spies
from test_walk_files import P
from worlds import make_faces, tables

from facesr.cli import main

CREATE = "study create run --out s --raters 3 --images 2 --anchors 0 --gap 1 --outside-epsilon flag"
CROWD = f"{CREATE} --join prolific"
PAIR = "study create run --out s --raters 3 --images 2 --gap 1 --outside-epsilon flag --method pair"
SEE, JOIN = " && SESSION s", " && CROWD s"
IMPORT = "study import ratings.csv --out s && study analyse s"


def _made(line: str, *words: str, see: str = SEE) -> dict[str, Case]:
    """Options that are added to a line of ``create``, after which a rater looks at the study."""
    return {f"study create {word.split()[0]}": (f"{line} {{}}{see}", "", word) for word in words}


def _given(line: str, *words: str) -> dict[str, Case]:
    act = " ".join(line.split()[:2])
    return {f"{act} {word.split()[0]}": (f"{line} {{}}", "", word) for word in words}


def _on(act: str, before: str = "rated", after: str = "half", rest: str = "") -> dict[str, Case]:
    """The study folder itself, and a database that is not there."""
    return {
        f"study {act} study": (f"study {act} {{}} {rest}".strip(), before, after),
        f"study {act} --database": (
            f"study {act} {before} {rest}".strip(),
            "",
            Refused("--database sqlite:///nowhere/x.db", "nowhere"),
        ),
    }


CASES: dict[str, Case] = {
    "study create run": (CREATE.replace("run", "{}", 1) + SEE, "run", "bright"),
    "study create --out": ("study create run --raters 3 --images 2 --anchors 0 --gap 1 --outside-epsilon flag --out {}", "s", "s2"),
    "study create --method": (CREATE.replace("--anchors 0", "") + " {}" + SEE, "--anchors 0", "--method pair"),
    **_made(
        CREATE, "--conditions hr,nearest", "--images-per-rater 1", "--faces names.txt", "--repeats 1", "--gold 1", "--attention 1"
    ),
    "study create --raters": (CREATE.replace("raters 3", "raters {}") + SEE, "3", "4"),
    "study create --images": (CREATE.replace("images 2", "images {}") + SEE, "2", "3"),
    "study create --anchors": (CREATE.replace("anchors 0", "anchors {}") + SEE, "0", "1"),
    "study create --gap": (CREATE.replace("gap 1", "gap {}") + SEE, "1", "0"),
    "study create --scale-factor": (CREATE.replace("run", "scales", 1) + " --scale-factor {}" + SEE, "2", "4"),
    **_made(PAIR, "--pairs-per-image 1", "--pairs adaptive", "--ties"),
    **_made(
        CREATE,
        "--break-every 3",
        "--zoom 3",
        "--fractional refuse",
        "--contact Ada",
        "--screen brightness",
        "--comment",
        "--seed 5",
    ),
    "study create --session-minutes": (f"{CREATE} {{}} && WORK s", "", "--session-minutes 5"),
    "study create --rest-minutes": (f"{CREATE} --session-minutes 5 {{}} && WORK s", "", "--rest-minutes 9"),
    "study create --outside-epsilon": (CREATE.replace("epsilon flag", "epsilon {}"), "flag", "refuse"),
    **_made(
        CREATE, "--join open", "--completion-url https://e.org/{code}", "--completion-code X7", "--languages en", "--texts wording"
    ),
    **_made(CROWD, "--reserve-minutes 5", "--full-url https://e.org/f", "--not-from crowd", "--spares 1", see=JOIN),
    "study create --screened-url": (
        f"{CROWD} --screen colour --screen-failed refuse {{}}{JOIN}",
        "",
        "--screened-url https://e.org/s",
    ),
    "study create --already-url": (f"{CROWD} --not-from crowd {{}}{JOIN}", "", "--already-url https://e.org/a"),
    **_made(CREATE, "--url https://e.org", "--questionnaire standard", "--practice 1"),
    "study create --screen-failed": (f"{CREATE} --screen colour {{}}{SEE}", "", "--screen-failed refuse"),
    "study create --distance-cm": (f"{CREATE} --screen card {{}}{SEE}", "", "--distance-cm 90"),
    "study create --practice-faces": (f"{CREATE} --practice 1 --practice-faces {{}}{SEE}", "004", "005"),
    "study create --analysis": (f"{CREATE} {{}} && study simulate s && study analyse s --simulated", "", "--analysis plan.toml"),
    "study create --stop-raters": (f"{CREATE} {{}} && study status s", "", "--stop-raters 2"),
    "study create --database": (CREATE, "", Refused("--database nosuch://x", "nosuch")),
    **_on("serve", "rated", "half"),
    **_given(
        "study serve rated",
        "--runs run",
        "--host 0.0.0.0",
        "--port 8777",
        "--address e.org",
        "--proxies 10.0.0.1",
        "--no-dashboard",
    ),
    "study url study": ("study url {}", "rated", "half"),
    "study url url": ("study url rated {}", "https://e.org", "https://f.org"),
    **_on("invite", "half", "rated"),
    **_given("study invite half", "--url https://e.org", "--count 1", "--people people.csv", "--qr q.svg"),
    "study invite --links": ("study invite half --url https://e.org", "", "--links l.csv"),
    **_on("link", "half", "twos", "r001"),
    "study link rater": ("study link twos {}", "r001", "r002"),
    **_given("study link half r001", "--url https://e.org"),
    **_on("pause", "twos", "threes", "r002 --yes"),
    "study pause rater": ("study pause twos --yes {}", "r002", "all"),
    **_given("study pause twos r002 --yes", "--reason ill"),
    "study pause --yes": ("study pause twos r002", "", "--yes"),
    **_on("resume", "twos", "threes", "r002"),
    "study resume rater": ("study pause twos all --yes && study resume twos {}", "r002", "all"),
    **_on("replace", "twos", "threes", "r002 --yes"),
    "study replace rater": ("study replace twos --yes --force {}", "r001", "r002"),
    **_given("study replace twos r002 --yes", "--reason ill", "--url https://e.org"),
    "study replace --yes": ("study replace twos r002", "", "--yes"),
    "study replace --force": ("study replace twos r001 --yes", "", "--force"),
    **_on("exclude", "half", "twos", "r001 --rule by-hand --reason x --yes"),
    "study exclude rater": ("study exclude twos --rule by-hand --reason x --yes {}", "r001", "r002"),
    "study exclude --yes": ("study exclude half r001 --rule by-hand --reason x", "", "--yes"),
    "study exclude --rule": ("study exclude half r001 --reason x --yes --rule {}", "by-hand", "other"),
    "study exclude --reason": ("study exclude half r001 --rule by-hand --yes --reason {}", "x", "y"),
    **_on("undo", "paused", "twos", "r002"),
    "study undo rater": ("study undo paused {}", "r002", "r001"),
    **_on("delete-rater", "half", "twos", "r001 --yes"),
    "study delete-rater rater": ("study delete-rater twos --yes {}", "r001", "r002"),
    "study delete-rater --yes": ("study delete-rater half r001", "", "--yes"),
    **_on("returned", "crowd", "crowd2", "r001"),
    "study returned rater": ("study returned crowd2 {}", "r001", "r003"),
    **_given("study returned crowd r001", "--reason ill"),
    **_on("payments", "crowd", "crowd2", "--out pay"),
    "study payments --out": ("study payments crowd --out {}", "pay", "pay2"),
    "study payments --bonus": ("study payments crowd --out pay", "", "--bonus r002=1"),
    "study payments --settled": ("study payments crowd", "", "--settled"),
    **_on("code", "half", "crowd", "XYZ"),
    "study code code": ("study code crowd {}", "ABC", "XYZ"),
    **_on("status", "half", "twos"),
    **_given("study status half", "--peek curious", "--json"),
    **_on("close", "half", "twos", "--reason enough"),
    "study close --reason": ("study close half --reason {}", "enough", "late"),
    **_on("deploy", "half", "twos", "--out d --url https://e.org"),
    "study deploy --out": ("study deploy half --url https://e.org --out {}", "d", "e"),
    "study deploy --url": ("study deploy half --out d --url {}", "https://e.org", "https://f.org"),
    "study deploy --home": ("study deploy half --out d --url https://e.org", "", "--home /srv/other"),
    **_on("backup", "half", "twos", "--to b"),
    "study backup --to": ("study backup half --to {}", "b", "c"),
    "study backup --keep": ("study backup half --to b && study backup twos --to b && study backup half --to b {}", "", "--keep 1"),
    "study restore backup": ("study restore {} --out s", "half.backup", "twos.backup"),
    "study restore --out": ("study restore half.backup --out {}", "s", "s2"),
    "study restore --database": ("study restore half.backup --out s", "", Refused("--database nosuch://x", "nosuch")),
    **_on("rescue", "half", "twos", "--out s"),
    "study rescue --out": ("study rescue half --out {}", "s", "s2"),
    "study preregister study": ("study preregister {}", "half", "crowd"),
    "study preregister --difference": ("study preregister large", "", "--difference 0.9"),
    "study preregister --pilot": ("study preregister half", "", "--pilot rated --simulated"),
    "study preregister --simulated": ("study preregister half --pilot rated", "", "--simulated"),
    **_on("simulate", "half", "twos"),
    **_given("study simulate half", "--raters 2", "--mos hr=4.9", "--seed 3"),
    "study power --raters": ("study power --images 40 --raters {}", "24", "40"),
    "study power --images": ("study power --raters 24 --images {}", "40", "60"),
    **_given(
        "study power --raters 24 --images 40",
        "--images-per-rater 20",
        "--difference 0.5",
        "--alpha 0.2",
        "--comparisons 3",
        "--power 0.5",
    ),
    "study power --study": ("study power --raters 24 --images 40", "", "--study rated --simulated"),
    "study power --simulated": ("study power --raters 24 --images 40 --study rated", "", "--simulated"),
    **_on("export", "rated", "twos", "--out e --simulated"),
    "study export --out": ("study export rated --simulated --out {}", "e", "f"),
    "study export --simulated": ("study export rated --out e", "", "--simulated"),
    "study export --peek": ("study export half --out e", "", "--peek curious"),
    "study import file": (IMPORT.replace("ratings.csv", "{}"), "ratings.csv", "ratings9.csv"),
    "study import --out": ("study import ratings.csv --out {}", "s", "s2"),
    "study import --analysis": (IMPORT.replace("--out s", "--out s {}"), "", "--analysis plan.toml"),
    "study import --reference": (IMPORT.replace("--out s", "--out s {}"), "", "--reference pulse"),
    "study import --screening": (IMPORT.replace("--out s", "--out s {}"), "", "--screening bt500"),
    "study import --margin": (IMPORT.replace("--out s", "--out s {}"), "", "--margin 0.5"),
    "study import --alpha": (IMPORT.replace("--out s", "--out s {}"), "", "--alpha 0.2"),
    "study check path": ("study check {}", "ratings.csv", "double.csv"),
    **_on("analyse", "rated", "twos", "--simulated"),
    "study analyse --simulated": ("study analyse rated", "", "--simulated"),
    "study analyse --peek": ("study analyse half", "", "--peek"),
    "study analyse --ordinal": ("study analyse rated --simulated", "", "--ordinal"),
    "study analyse --format": ("study analyse rated --simulated", "", "--format csv"),
}
for act in ("import", "check"):
    read = f"study {act} ratings.csv" + (" --out s" if act == "import" else "")
    CASES |= how_ratings_are_read(f"study {act}", read) | {
        f"study {act} --scale": (read, "", "--scale 1 9"),
        f"study {act} --pattern": (read.replace("ratings", "files"), "", "--pattern (?P<condition>[a-z]+)-(?P<face>f[0-9])"),
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs, studies in several states, tables."""
    home = tmp_path_factory.mktemp("study-world")
    make_faces(home, 8)
    (home / "P.toml").write_text(P.replace('"hr"\nsplit', f'"{home / "hr"}"\nsplit'))
    (home / "S.toml").write_text((home / "P.toml").read_text().replace("scale = 4", "scale = [2, 4]"))
    for name, file, methods in (("run", "P", "bicubic,nearest"), ("bright", "P", "nearest"), ("scales", "S", "bicubic,nearest")):
        assert main(["run", str(home / f"{file}.toml"), "--methods", methods, "-q", "--out", str(home / name)]) == 0
    create = ["study", "create", str(home / "run"), "--raters", "3", "--images", "3", "--anchors", "0", "--gap", "1"]
    for name in ("rated", "half", "twos", "crowd"):
        join = ["--join", "prolific", "--completion-code", "XYZ"] if name == "crowd" else []
        assert main([*create, *join, "--outside-epsilon", "flag", "--out", str(home / name)]) == 0
    assert main(["study", "simulate", str(home / "rated")]) == 0
    for name in ("half", "twos"):
        one_person(home / name)
    assert main(["study", "invite", str(home / "twos"), "--count", "2"]) == 0
    large = [
        *create[:3],
        "--raters",
        "24",
        "--images",
        "8",
        "--anchors",
        "0",
        "--conditions",
        "hr,nearest",
        "--outside-epsilon",
        "flag",
    ]
    assert main([*large, "--out", str(home / "large")]) == 0
    for worker in ("w1", "w2", "w3"):
        come(home / "crowd", worker, rates=worker == "w2")
        if worker == "w2":
            shutil.copytree(home / "crowd", home / "crowd2")
    for name in ("threes", "paused"):
        shutil.copytree(home / "twos", home / name)
    assert main(["study", "pause", str(home / "paused"), "r002", "--yes"]) == 0
    for name in ("half", "twos"):
        assert main(["study", "backup", str(home / name), "--to", str(home / f"{name}-backups")]) == 0
        next((home / f"{name}-backups").iterdir()).replace(home / f"{name}.backup")
    (home / "names.txt").write_text("005\n006\n")
    (home / "people.csv").write_text("name,email\nAda,a@e.org\nBob,b@e.org\n")
    (home / "plan.toml").write_text('alpha = 0.2\ncorrection = "none"\n')
    (home / "wording").mkdir()
    (home / "wording/en.toml").write_text('title = "Own words"\n')
    tables(home)
    (home / "double.csv").write_text((home / "ratings.csv").read_text() + "\nr0,f0,psp,3\n")
    return home


def test_the_walk_knows_every_option_of_study() -> None:
    """A new option needs a line in ``CASES``."""
    assert set(options("study ")) == set(CASES)


@pytest.fixture(scope="module")
def seen_before() -> dict[str, Seen]:
    """What the lines without the option gave."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("option", CASES)
def test_an_option_of_study_acts_or_is_refused(
    option: str,
    world: Path,
    seen_before: dict[str, Seen],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spies(monkeypatch)
    acts(CASES[option], lambda line: look(line, world, tmp_path / "w", monkeypatch, capsys, ACTS), seen_before, True)
