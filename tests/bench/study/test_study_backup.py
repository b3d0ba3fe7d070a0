"""Backups of a running study and back, on both databases and between them; what a stranger's or a damaged file does; a server's files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from facesr.bench.errors import FaceSRError
from facesr.bench.study import Study, crowd, load_study, reading, store
from facesr.bench.study.backup import backup, dump, restore
from facesr.bench.study.check import check_ratings
from facesr.bench.study.closing import ratings_digest
from facesr.bench.study.deploy import deploy
from facesr.bench.study.payments import payments
from facesr.bench.study.simulate import simulate
from facesr.cli import main
from fake_study import small_study
from servers import new_database, postgres  # noqa: F401 - a fixture


@pytest.fixture(params=["sqlite", "postgresql"])
def study(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Study]:
    """A crowd's study in the middle: answers, corrections, an encrypted submission, texts with every kind of letter."""
    url = None if request.param == "sqlite" else new_database(request.getfixturevalue("postgres"), f"backup-{tmp_path.name}")
    made = small_study(tmp_path, database=url, join="prolific")
    place = crowd.join(made, "WORKER1", submission="SUB1")
    rater = store.by_token(made.engine, place.token)
    assert rater is not None
    store.consent(made.engine, rater, "en")
    for position in range(1, 8):
        assert store.rate(
            made.engine, rater, position, None if position < 5 else 4, rt_ms=1234.5, shown={"dpr": 1.25, "verified": True}
        ).stored
    assert store.rate(made.engine, rater, 7, 2, revision=1).stored
    store.exclude(made.engine, rater.name, "odd", "line\u2028two\r\n\x85 \U0001f600 'quoted\"")
    simulate(made, 1)
    yield made
    made.close()


def test_a_study_comes_back_as_it_was(study: Study, tmp_path: Path) -> None:
    """Every row of every table, the key and the images; and it goes on: the same worker has the place, new rows get new ids."""
    file = backup(study, tmp_path / "kept")
    assert file.stat().st_mode & 0o777 == 0o600
    assert [f.name for f in file.parent.iterdir()] == [file.name]  # the trial is gone
    back = restore(file, tmp_path / "back")
    assert dump(back.engine) == dump(study.engine)
    assert ratings_digest(back) == ratings_digest(study)
    assert [p.worker for p in payments(back)] == ["WORKER1"]
    assert (back.path / "secret.key").stat().st_mode & 0o777 == 0o600
    again = crowd.join(back, "WORKER1")
    assert again.rater == "r001"
    rater = store.by_token(back.engine, again.token)
    assert rater is not None
    assert store.rate(back.engine, rater, 8, 3).stored
    assert not [f for f in check_ratings(back) if f.kind != "note"]
    back.close()


def test_between_databases(tmp_path: Path, postgres: str) -> None:  # noqa: F811
    """From SQLite to PostgreSQL, where ids go on counting behind those that were given; a database in use is refused."""
    made = small_study(tmp_path)
    rater, token = store.seat_rater(made.engine, rows=3)
    store.consent(made.engine, rater, "en")
    assert store.rate(made.engine, rater, 1, None).stored
    file = backup(made, tmp_path / "kept")
    url = new_database(postgres, f"moved-{tmp_path.name}")
    moved = restore(file, tmp_path / "moved", url)
    assert moved.engine.dialect.name == "postgresql"
    found = store.by_token(moved.engine, token)
    assert found is not None
    assert store.rate(moved.engine, found, 2, None).stored
    assert store.seat_rater(moved.engine, rows=3)[0].name == "r002"
    assert len(reading.raters(moved)) == 2
    with pytest.raises(FaceSRError, match="already holds the study"):
        restore(file, tmp_path / "twice", url)
    assert not (tmp_path / "twice").exists()
    for each in (made, moved):
        each.close()


def test_old_backups_go_only_after_a_new_one_was_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest two stay; other files are not touched; a backup that fails removes nothing."""
    from facesr.bench.study import backup as room

    made = small_study(tmp_path)
    kept = tmp_path / "kept"
    kept.mkdir()
    others = [kept / "study-notes.zip", kept / "other-20200101T000000Z.zip"]
    old = [kept / f"study-2020010{k}T000000Z.zip" for k in (1, 2, 3)]
    for file in (*others, *old):
        file.write_bytes(b"x")
    with monkeypatch.context() as broken:
        broken.setattr(room, "_compare", lambda *_: (_ for _ in ()).throw(FaceSRError("not what was saved")))
        with pytest.raises(FaceSRError, match="not what was saved"):
            backup(made, kept, keep=2)
    assert set(kept.iterdir()) == {*others, *old}
    file = backup(made, kept, keep=2)
    assert set(kept.iterdir()) == {*others, old[2], file}
    made.close()


def test_a_strangers_backup_is_read_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that lead elsewhere, changed tables, another design, a bomb, no zip at all: one sentence, nothing on disk."""
    made = small_study(tmp_path)
    store.seat_rater(made.engine, rows=3)
    whole = backup(made, tmp_path / "kept")
    with zipfile.ZipFile(whole) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(content["backup.json"])

    table = content["tables/rater.jsonl"]
    cases: dict[str, dict[str, bytes]] = {
        "holds '../evil'": {**content, "../evil": b"x"},
        "holds '/etc/x'": {**content, "/etc/x": b"x"},
        "holds 'stimuli/../../x.png'": {**content, "stimuli/../../x.png": b"x"},
        "parts of it are missing": {k: v for k, v in content.items() if k != "study.json"},
        "table 'rater' is not the one": {**content, "tables/rater.jsonl": table.replace(b"r001", b"r009")},
        "table 'plan' is not the one": {k: v for k, v in content.items() if k != "tables/plan.jsonl"},
        "its backup.json is not one": {**content, "backup.json": b"[]"},
        "layout version 9": {**content, "backup.json": json.dumps({**about, "format": 9}).encode()},
        "newer facesr": {**content, "backup.json": json.dumps({**about, "tables": {**about["tables"], "future": "0"}}).encode()},
        "its design is not the one": {**content, "backup.json": json.dumps({**about, "digest": "0" * 64}).encode()},
        "was changed": {**content, next(n for n in content if n.startswith("stimuli")): b"not a png"},
        "was changed after it was frozen": {**content, "study.json": content["study.json"].replace(b'"seed": 3', b'"seed": 4')},
    }
    for message, parts in cases.items():
        file = tmp_path / "evil.zip"
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        assert main(["study", "restore", str(file), "--out", str(tmp_path / "out")]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
        assert not (tmp_path / "out").exists()
        assert not (tmp_path.parent / "evil").exists()
    for data in (b"no zip", whole.read_bytes()[:-300]):
        (tmp_path / "evil.zip").write_bytes(data)
        assert main(["study", "restore", str(tmp_path / "evil.zip"), "--out", str(tmp_path / "out")]) == 2
        assert "not a readable zip archive" in capsys.readouterr().err
    made.close()


def test_a_strangers_folder_connects_to_nothing(tmp_path: Path) -> None:
    """A note of a database counts where this user made or named it for this study, private or not; a link out of the folder never does."""
    made = small_study(tmp_path)
    made.close()
    elsewhere = tmp_path / "elsewhere.db"
    shutil.copy(made.path / "ratings.db", elsewhere)
    note = made.path / "database.url"
    urls = ("postgresql://me:secret@evil.example.org/x", f"sqlite:///{elsewhere}", f"sqlite:///{made.path}/../elsewhere.db")
    for url in (*urls, "sqlite:////etc/passwd", "garbage"):
        note.write_text(url)
        note.chmod(0o600)  # as an archive may bring it
        with pytest.raises(FaceSRError, match="that you have not named for this study") as refused:
            load_study(made.path)
        assert "secret" not in str(refused.value)
    note.write_text(urls[1])
    assert load_study(made.path, urls[1]).url == urls[1]  # said by the user, once
    assert load_study(made.path).url == urls[1]
    other = small_study(tmp_path / "another")
    other.close()
    shutil.copy(note, other.path / "database.url")  # for that study it was not said
    with pytest.raises(FaceSRError, match="that you have not named for this study"):
        load_study(other.path)
    note.unlink()
    whole = elsewhere.read_bytes()
    (made.path / "ratings.db").unlink()
    (made.path / "ratings.db").symlink_to(elsewhere)
    with pytest.raises(FaceSRError, match=r"a link to .*elsewhere\.db, outside the study's folder"):
        load_study(made.path)
    assert elsewhere.read_bytes() == whole
    with pytest.raises(FaceSRError, match="in its own folder"):
        small_study(tmp_path / "other", database=f"sqlite:///{elsewhere}")


# --- a server's files ---------------------------------------------------------------------------------------------------------------


def test_a_servers_files_are_what_their_programs_read(tmp_path: Path) -> None:
    """Each program that is installed reads its file: compose, systemd, nginx, Caddy, sh; the seed is a backup that restores."""
    made = small_study(tmp_path, url="https://study.example.org")
    home = tmp_path / "home"
    (home / "venv" / "bin").mkdir(parents=True)
    (home / "venv" / "bin" / "facesr").symlink_to("/bin/true")
    (home / "study.env").write_text("")
    out = tmp_path / "server"
    deploy(made, out, home=str(home))
    assert (out / ".env").stat().st_mode & 0o777 == (out / "study.zip").stat().st_mode & 0o777 == 0o600
    assert not [
        f for f in out.iterdir() if f.is_file() and f.suffix != ".zip" and re.search("@[A-Z]+@", f.read_text())
    ]  # every blank is filled in
    restore(out / "study.zip", tmp_path / "back").close()
    tried = []

    def read_by(program: str, *arguments: str) -> str:
        if shutil.which(program) is None:
            return ""
        tried.append(program)
        done = subprocess.run([program, *arguments], cwd=out, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    assert read_by("sh", "-n", "start.sh") == ""
    said = read_by("docker-compose", "-f", "compose.yaml", "config") or "database: study: proxy: backup:"
    for service in ("database", "study", "proxy", "backup"):
        assert f"{service}:" in said
    read_by("caddy", "validate", "--adapter", "caddyfile", "--config", "Caddyfile")
    units = [str(out / f) for f in ("facesr-study.service", "facesr-backup.service", "facesr-backup.timer")]
    assert read_by("systemd-analyze", "verify", "--man=no", *units) == ""
    certificate(out)
    whole = out / "whole.conf"
    site = (out / "nginx.conf").read_text().replace("/etc/letsencrypt/live/study.example.org", str(out))
    whole.write_text(f"pid {out}/pid; events {{}} http {{ {site} }}")
    read_by("nginx", "-t", "-q", "-e", "stderr", "-c", str(whole))
    assert "sh" in tried
    made.close()


def certificate(folder: Path) -> None:
    """A self-signed certificate under the names that certbot gives, for nginx to read."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "study.example.org")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)).sign(
        key, hashes.SHA256()
    )
    (folder / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "privkey.pem").write_bytes(key.private_bytes(*plain))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "is no address of a server"),
        ({"url": "https://x.org/a"}, "has a path"),
        ({"url": "https://x.org", "home": "/srv;rm"}, "letters, digits"),
    ],
)
def test_what_cannot_be_deployed_is_refused(tmp_path: Path, options: dict[str, str], message: str) -> None:
    """Before anything is written."""
    made = small_study(tmp_path)
    with pytest.raises(FaceSRError, match=message):
        deploy(made, tmp_path / "server", **options)
    assert not (tmp_path / "server").exists()
    made.close()
