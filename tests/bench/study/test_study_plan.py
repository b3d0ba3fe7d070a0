"""The plan: every entry is checked when it is frozen, acts, and is printed beside what was done; texts and closing are frozen too."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sqlite3
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from facesr.bench.errors import FaceSRError
from facesr.bench.stats.sequential import always_valid_level, family_level, nominal_levels
from facesr.bench.study import Study, closing, load_study, reading, store, wording
from facesr.bench.study.carried import carried_out, plan_entries
from facesr.bench.study.design import canonical, from_json
from facesr.bench.study.plan import AnalysisPlan, ExcludeRaters, read_plan
from facesr.bench.study.preregister import text as preregistration
from facesr.bench.study.rescue import rescue
from facesr.bench.study.rules import pace, violations
from facesr.bench.study.simulate import simulate
from facesr.cli import main
from fake_study import small_study


def test_every_mistake_of_a_plan_is_reported_together() -> None:
    """The typing errors that used to be frozen without a word."""
    given = {"screening": "bt501", "alhpa": 0.05, "correction": "bonferoni", "alpha": 5, "exclude_raters": {"atention_wrong": 0.5}}
    with pytest.raises(FaceSRError) as error:
        read_plan(given, "plan.toml")
    for hint in ("'bt500'", "'alpha'", "'bonferroni'", "must be below 1", "'attention_wrong'"):
        assert hint in str(error.value)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"primary": "bradley-terry"}, "does not fit the method 'acr'"),
        ({"equivalence_margin": 4.0}, "as wide as the scale"),
        ({"exclude_raters": {"gold_wrong": 0.5}}, "--gold N adds some"),
        ({"exclude_raters": {"repeats_apart": 1.0}}, "--repeats N adds some"),
        ({"stopping": {"kind": "group-sequential", "looks": [3, 9]}}, "beyond the 3 raters"),
        ({"stopping": {"kind": "group-sequential"}}, "growing numbers"),
        ({"stopping": {"looks": [3]}}, "a fixed plan looks once"),
        ({"exclude_raters": "more than half"}, "must be a table"),
    ],
)
def test_a_plan_fits_its_design_or_is_refused(tmp_path: Path, plan: dict[str, Any], message: str) -> None:
    """Before anything is on disk."""
    with pytest.raises(FaceSRError, match=message):
        small_study(tmp_path, analysis=plan)
    assert not (tmp_path / "study").exists()


def test_numbers_beyond_reason_are_refused(tmp_path: Path) -> None:
    """All of them in one answer, at once."""
    absurd = {
        "zoom": float("nan"), "session_minutes": float("nan"), "completion_url": "javascript:alert(1)", "stop_raters": 99, "seed": -1,
        "raters": 1_000_000,
    }  # fmt: skip
    with pytest.raises(FaceSRError) as error:
        small_study(tmp_path, **absurd)
    for name in ("zoom", "session_minutes", "seed", "raters"):
        assert f"'{name}'" in str(error.value)
    for options, message in (
        ({"stop_raters": 99}, "99 raters of 3"),
        ({"completion_url": "javascript:alert(1)"}, "is no web address"),
        ({"completion_url": "https://example.org/{id}"}, r"has \{id\}"),
        ({"attention": 500}, "500 attention items are more than half of the 12 images"),
        ({"contact": "a\nb"}, "one line"),
    ):
        with pytest.raises(FaceSRError, match=message):
            small_study(tmp_path / message[:5], **options)  # type: ignore[arg-type]


def answers(**columns: Any) -> pd.DataFrame:
    """Ratings of one rater, six main items unless columns say otherwise."""
    n = max((len(v) for v in columns.values() if isinstance(v, list)), default=6)
    base = {
        "rater": "r001",
        "face": [f"f{k}" for k in range(n)],
        "condition": "psp",
        "other": "",
        "kind": "main",
        "score": 3.0,
        "correct": pd.NA,
    }
    table = pd.DataFrame({**base, "served_ms": 3000.0, **columns})
    if "at" not in table:
        table["at"] = [f"2026-01-01T10:00:{4 * k:02d}.000Z" for k in range(n)]
    return table


def people(**columns: Any) -> pd.DataFrame:
    """One finished rater."""
    base = {"name": "r001", "status": "done", "simulated": False, "device": None, "departed": None, "invited": "2026-01-01"}
    return pd.DataFrame([{**base, **columns}])


@pytest.mark.parametrize(
    ("rules", "table", "broken"),
    [
        (ExcludeRaters(attention_wrong=0.5), answers(kind=["attention"] * 4, correct=[False, False, True, True]), ""),
        (ExcludeRaters(attention_wrong=0.5), answers(kind=["attention"] * 4, correct=[False, False, False, True]), "attention_wrong"),
        (ExcludeRaters(gold_wrong=0.0), answers(kind=["gold"] * 3, correct=[True, True, False]), "gold_wrong"),
        (ExcludeRaters(same_grade=0.9), answers(score=[3.0] * 10), "same_grade"),
        (ExcludeRaters(same_grade=0.9), answers(score=[3.0] * 9 + [4.0]), ""),
        (ExcludeRaters(same_grade=0.9), answers(score=[3.0] * 9), ""),  # fewer than ten say nothing
        (ExcludeRaters(repeats_apart=1.0), answers(face=["a", "b", "a", "b"], kind=["main"] * 2 + ["repeat"] * 2, score=[1.0, 5.0, 3.0, 4.0]),
         "repeats_apart"),
        (ExcludeRaters(unseen=0.1), answers(served_ms=[np.nan, 3e3, 3e3, 3e3, 3e3]), "unseen"),
        (ExcludeRaters(unseen=0.2), answers(served_ms=[np.nan, 3e3, 3e3, 3e3, 3e3]), ""),
        (ExcludeRaters(pace_seconds=0.3), answers(served_ms=[50.0] * 6), "pace_seconds"),
        (ExcludeRaters(pace_seconds=0.3), answers(), ""),
    ],
)  # fmt: skip
def test_rules_at_their_limits(rules: ExcludeRaters, table: pd.DataFrame, broken: str) -> None:
    """More than the limit, not at it."""
    found = violations(rules, table, people())
    assert list(found.get("r001", {})) == ([broken] if broken else [])


def test_offline_answers_are_not_called_hasty() -> None:
    """Images sent long before, answers arriving together when the line is back: pace is bounded by the sending, 30 s over 6 images."""
    together = answers(at=["2026-01-01T10:00:30.000Z"] * 6, served_ms=[30e3, 29e3, 28e3, 27e3, 26e3, 25e3])
    assert pace(together)["r001"] == pytest.approx(5.0)


def test_one_browser_counts_once() -> None:
    """The second account of a browser is out, the first stays; a screened one does not count."""
    two = pd.concat([people(device="d"), people(name="r002", device="d", invited="2026-01-02")])
    both = pd.concat([answers(), answers(rater=["r002"] * 6)])
    assert violations(ExcludeRaters(same_device=True), both, two) == {"r002": {"same_device": "the same browser as r001"}}


def done_as(plan: AnalysisPlan) -> dict[str, object]:
    """An analysis that did what the plan says."""
    return {f.name: getattr(plan, f.name) for f in dataclasses.fields(plan) if f.name in plan_entries(plan)}


def test_planned_and_done_meet_in_one_table(tmp_path: Path) -> None:
    """As planned: no deviation. Another level, a rater left out by hand, an early look and an early end: each is one."""
    study = small_study(tmp_path, analysis={"alpha": 0.05})
    simulate(study, 3)
    assert [e for e in carried_out(study, done_as(study.plan), simulated=True) if e.deviation] == []
    store.seat_rater(study.engine, rows=3)
    store.exclude(study.engine, "r001", "odd", "does not fit")
    study.peek("Ada", "curious")
    study.end("money ran out")
    found = {e.entry: e for e in carried_out(study, {**done_as(study.plan), "alpha": 0.01})}
    assert (found["alpha"].planned, found["alpha"].done, found["alpha"].deviation) == ("0.05", "0.01", "not as planned")
    assert "money ran out" in found["collection"].deviation
    assert found["left out by hand"].done == "r001 (odd)"
    assert "curious" in found["early looks at means"].done
    assert carried_out(study)[1].done == "not carried out"
    study.close()


def test_preregistration_names_every_entry(tmp_path: Path) -> None:
    """And the reason for the size, from the power simulation."""
    study = small_study(tmp_path, analysis={"alpha": 0.02, "correction": "bh", "exclude_raters": {"same_grade": 0.9}})
    printed = preregistration(study)
    for part in (
        "0.02",
        "correction bh",
        "more than 90% of the images",
        "more than 50% of the attention",
        study.digest,
        "variance components",
    ):
        assert part in printed
    study.close()


# --- texts --------------------------------------------------------------------------------------------------------------------------


def own_texts(folder: Path, **files: str) -> Path:
    """A folder of own wording."""
    folder.mkdir()
    for name, content in files.items():
        (folder / f"{name}.toml").write_text(content, encoding="utf-8")
    return folder


def test_own_consent_is_never_mixed(tmp_path: Path) -> None:
    """An English consent of one's own takes German off the list; asked for, it is refused with what lacks; whole, both are offered."""
    own = own_texts(tmp_path / "own", en='consent = "Ours."\n')
    study = small_study(tmp_path / "a", texts=own)
    assert list(study.design.texts) == ["en"]
    assert study.words("de")[0] == "en"
    with pytest.raises(FaceSRError, match=r"the wording in 'de' lacks consent"):
        small_study(tmp_path / "b", texts=own, languages=["en", "de"])
    (own / "de.toml").write_text('consent = "Unseres."\n')
    assert list(small_study(tmp_path / "c", texts=own).design.texts) == ["de", "en"]
    (own / "fr.toml").write_text('consent = "Le nôtre."\n')
    with pytest.raises(FaceSRError, match="the wording in 'fr' lacks attention"):
        small_study(tmp_path / "d", texts=own)
    study.close()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("consent = ", "not valid TOML"),
        ('consnt = "x"', "did you mean 'consent'"),
        ('consent = ""', "not empty"),
        ("consent = 3", "must be text"),
        ('consent = "{name}"', "cannot fill in"),
    ],
)
def test_texts_are_validated_at_create(tmp_path: Path, content: str, message: str) -> None:
    """One sentence, nothing on disk."""
    with pytest.raises(FaceSRError, match=message):
        small_study(tmp_path, texts=own_texts(tmp_path / "own", en=content))
    assert not (tmp_path / "study").exists()


def test_what_a_rater_agreed_to_is_kept(tmp_path: Path) -> None:
    """The sha256 of the frozen texts in the rater's language, in the table and the export."""
    study = small_study(tmp_path, languages=["de"])
    rater, _ = store.seat_rater(study.engine, rows=3)
    agreed = wording.words_digest(study.design.texts["de"])
    store.consent(study.engine, rater, "de", agreed)
    assert reading.raters(study)["agreed"].tolist() == [agreed]
    assert (
        json.loads((study.path / "study.json").read_text())["texts"]["de"]["start"] == "Beginnen"
        or study.design.texts["de"]["start"]
    )
    study.close()


# --- closing ------------------------------------------------------------------------------------------------------------------------


def fill(study: Study) -> store.Rater:
    """One rater with a consent and five answers."""
    rater, _ = store.seat_rater(study.engine, rows=3)
    store.consent(study.engine, rater, "en")
    for position in range(1, 6):
        assert store.rate(study.engine, rater, position, None if position < 5 else 4).stored
    return rater


def test_a_closed_study_takes_nothing_and_knows_its_ratings(tmp_path: Path) -> None:
    """No answer, no correction, no invitation; the seal is cited; a change behind its back is found."""
    study = small_study(tmp_path)
    rater = fill(study)
    with pytest.raises(FaceSRError, match="give --reason"):
        study.end()
    sealed = study.end("rehearsal")
    assert (sealed.raters, sealed.ratings) == (1, 5)
    assert study.citation.endswith(f"sha256 of the ratings {sealed.ratings_sha256[:12]}")
    assert store.rate(study.engine, rater, 6, 3).problem == "the study is closed"
    assert store.rate(study.engine, rater, 5, 3, revision=1).problem == "the study is closed"
    assert store.rate(study.engine, rater, 5, 1) == store.Answer(False, 6)  # sent again: nothing new, nothing refused
    with pytest.raises(FaceSRError, match="closed"):
        store.seat_rater(study.engine, rows=3)
    with pytest.raises(FaceSRError, match="closed already"):
        study.end("again")
    assert len(study.ratings()) == 5
    with study.engine.begin() as connection:
        connection.execute(text("update rating set score = 1 where score = 4"))
    assert closing.changed_since(study)
    with pytest.raises(FaceSRError, match="not those that were closed"):
        study.ratings()
    study.close()


# --- sequential looks ---------------------------------------------------------------------------------------------------------------


def test_boundaries_are_the_published_ones() -> None:
    """Five looks, two-sided .05. Source: Jennison & Turnbull 2000, and R's gsDesign (sfLDOF, sfLDPocock, one-sided .025)."""
    from scipy.special import ndtri

    def limits(spending: str) -> list[float]:
        return [float(-ndtri(level / 2)) for level in nominal_levels([1, 2, 3, 4, 5], 0.05, spending)]

    assert limits("obrien-fleming") == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=3e-4)
    assert limits("pocock") == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=3e-4)


def test_looking_does_not_raise_the_level() -> None:
    """800 null studies of 40 raters, six conditions, Holm over 15 pairs of correlated differences: some look rejects in at most alpha."""
    from facesr.bench.stats.correction import holm

    rng = np.random.default_rng(3)
    looks, alpha = [20, 30, 40], 0.05
    levels = [family_level(lambda a, k=k: nominal_levels(looks, a)[k], alpha, 3) for k in range(3)]  # type: ignore[misc]
    always = {n: family_level(lambda a, n=n: always_valid_level(n, a, 40), alpha, 3) for n in range(8, 41)}  # type: ignore[misc]
    from scipy.special import stdtr

    rejected = {"looks": 0, "always": 0, "plain": 0}
    for _ in range(800):
        x = rng.normal(size=(40, 3))
        d = np.stack([x[:, 0] - x[:, 1], x[:, 0] - x[:, 2], x[:, 1] - x[:, 2]], 1)

        def least(n: int, d: Any = d) -> float:
            t = d[:n].mean(0) / (d[:n].std(0, ddof=1) / np.sqrt(n))
            return float(min(holm(list(2 * stdtr(n - 1, -np.abs(t))))))

        p = {n: least(n) for n in range(8, 41)}
        rejected["looks"] += any(p[n] < level for n, level in zip(looks, levels, strict=True))
        rejected["always"] += any(p[n] < always[n] for n in p)
        rejected["plain"] += any(value < alpha for value in p.values())
    share = {name: count / 800 for name, count in rejected.items()}
    assert share["looks"] < alpha + 0.019  # two and a half standard errors
    assert share["always"] < alpha
    assert share["plain"] > 2.5 * alpha  # what looking costs without a rule


def test_a_group_sequential_study_shows_its_looks_only(tmp_path: Path) -> None:
    """Four finished of looks at 3 and 6: the first three to finish are analysed, at the first look's level."""
    study = small_study(
        tmp_path, raters=6, anchors=0, analysis={"alpha": 0.05, "stopping": {"kind": "group-sequential", "looks": [3, 6]}}
    )
    for k in range(4):
        assert study.may_show_means() == (k >= 3)
        rater, _ = store.seat_rater(study.engine, rows=6)
        store.consent(study.engine, rater, "en")
        for position in range(1, 13):
            store.rate(study.engine, rater, position, 1 + position % 5)
    assert study.raters_looked_at() == 3
    assert set(study.ratings()["rater"]) == {"r001", "r002", "r003"}
    assert 0 < study.alpha < 0.01
    study.close()


# --- damage -------------------------------------------------------------------------------------------------------------------------


def test_damage_ends_in_one_sentence_and_can_be_rescued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Garbage, half a file, a missing one, a dropped table: each act says so and leaves the file alone; sound rows are saved."""
    study = small_study(tmp_path)
    fill(study)
    folder = study.path
    study.close()
    file = folder / "ratings.db"
    assert file.stat().st_mode & 0o777 == 0o600
    whole = file.read_bytes()
    for damaged in (b"garbage" * 1000, whole[: len(whole) // 2], None):
        file.unlink()
        if damaged is not None:
            file.write_bytes(damaged)
        for act in (["status"], ["check"], ["analyse", "--peek"], ["export", "--peek", "x", "--out", str(tmp_path / "out")]):
            assert main(["study", act[0], str(folder), *act[1:]]) == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert "Traceback" not in said
        assert (file.read_bytes() if file.exists() else None) == damaged
    file.write_bytes(whole)
    broken = load_study(folder)
    with broken.engine.begin() as connection:
        connection.execute(text("drop table presentation"))
    broken.close()
    with pytest.raises(FaceSRError, match="without the table presentation"):
        _ = load_study(folder).engine
    assert rescue(folder, tmp_path / "saved")["rating"] == (5, 0)
    saved = load_study(tmp_path / "saved")
    assert len(saved.ratings()) == 5
    saved.close()


DAMAGE = {
    "a layout of later versions": "update alembic_version set version_num = '9999'",
    "no version": "update alembic_version set version_num = x'fffe'",
    "no plan": "delete from plan",
}


def test_other_damage_ends_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Versions nobody knows, a plan without rows, images that are devices or lead elsewhere, a table of unused cells that is none."""
    study = small_study(tmp_path)
    fill(study)
    study.close()

    def said(*command: str) -> str:
        assert main(["study", *command]) in (1, 2)
        found = capsys.readouterr()
        assert len(found.err.splitlines()) <= 1
        return found.err + found.out

    for name, statement in DAMAGE.items():
        folder = tmp_path / name
        shutil.copytree(study.path, folder)
        with contextlib.closing(sqlite3.connect(folder / "ratings.db")) as database, database:
            database.execute(statement)
        expected = (
            "order of trials that is not the frozen one" if name == "no plan" else "of a layout that this version does not know"
        )
        assert expected in said("check", str(folder))
    image = next((study.path / "stimuli").iterdir())
    image.unlink()
    image.symlink_to("/dev/zero")
    assert "it is a device, not a regular file" in said("backup", str(study.path), "--to", str(tmp_path / "backups"))
    assert rescue(study.path, tmp_path / "rescued")["rating"] == (5, 0)
    assert not (tmp_path / "rescued" / "stimuli" / image.name).exists()
    info = json.loads((study.path / "study.json").read_text())
    info["stimuli"][0]["name"] = "../../../elsewhere"
    with pytest.raises(FaceSRError, match="is no name of a stimulus"):
        from_json({**info, "digest": sha256(canonical({k: v for k, v in info.items() if k != "digest"})).hexdigest()}, study.path)
    table = tmp_path / "table.csv"
    rows = [f"r{r},f{f},{c},{1 + (r + f) % 5}" for r in range(4) for f in range(4) for c in ("a", "b")]
    table.write_text("\n".join(["rater,face,condition,score", *rows]))
    assert main(["study", "import", str(table), "--out", str(tmp_path / "brought")]) == 0
    capsys.readouterr()
    for content in (b"\xac\xfa", b"", b"row,other\n1,2\n"):
        (tmp_path / "brought" / "unused.csv").write_bytes(content)
        assert "unused.csv" in said("check", str(tmp_path / "brought"))


def test_the_servers_own_settings_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No port, an empty password, texts put there after the freeze: refused before anything listens."""
    study = small_study(tmp_path)
    study.close()
    assert main(["study", "serve", str(study.path), "--port", "99999", "--no-dashboard"]) == 2
    assert "--port 99999 is no port" in capsys.readouterr().err
    monkeypatch.setenv("FACESR_ADMIN_PASSWORD", "")
    assert main(["study", "serve", str(study.path)]) == 2
    assert "FACESR_ADMIN_PASSWORD is empty" in capsys.readouterr().err
    own_texts(study.path / "texts", en='consent = "later"\n')
    assert main(["study", "serve", str(study.path)]) == 2
    assert "texts are frozen with the study" in capsys.readouterr().err
