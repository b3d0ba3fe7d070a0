"""Real servers for tests: PostgreSQL from the system's packages, and the rating server as its own process. Both on loopback only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgres_binaries() -> Path | None:
    """Folder of initdb and pg_ctl, or None."""
    found = shutil.which("initdb")
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return Path(found).parent if found else next((f for f in folders if (f / "initdb").exists()), None)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a fresh PostgreSQL server, without a database name; durability as in production (fsync on)."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("PostgreSQL is not installed (apt install postgresql): its half of the tests is left out")
    # initdb refuses to run as root; Debian's package brings a user for it.
    prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
    folder = Path(tmp_path_factory.mktemp("postgres"))
    # pytest's folders are private to their owner; the server's user must pass through them.
    home = Path("/tmp") / f"facesr-pg-{os.getpid()}-{folder.name}" if prefix else folder
    home.mkdir(exist_ok=True)
    if prefix:
        shutil.chown(home, "postgres", "postgres")
    port = free_port()
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    options = f"-p {port} -h 127.0.0.1 -k {home}"
    try:
        subprocess.run(
            [*prefix, str(binaries / "initdb"), "-D", f"{home}/data", "-U", "facesr", "-A", "trust", "-E", "UTF8"],
            check=True,
            **quiet,
        )  # type: ignore[call-overload]
        start = [*prefix, str(binaries / "pg_ctl"), "-D", f"{home}/data", "-l", f"{home}/log", "-w", "-o", options, "start"]
        subprocess.run(start, check=True, **quiet)  # type: ignore[call-overload]
        yield f"postgresql://facesr@127.0.0.1:{port}"
    finally:
        subprocess.run([*prefix, str(binaries / "pg_ctl"), "-D", f"{home}/data", "-m", "immediate", "stop"], check=False, **quiet)  # type: ignore[call-overload]
        if prefix:
            shutil.rmtree(home, ignore_errors=True)


def new_database(server: str, name: str) -> str:
    """Create a database and return its URL."""
    import psycopg

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"


class Server:
    """``facesr study serve`` as its own process, which can be killed and started again on the same port."""

    def __init__(self, study: Path, *, dashboard: bool = False, log: Path | None = None) -> None:
        self.port = free_port()
        self.log = log or study.parent / f"server-{self.port}.log"
        self.command = [sys.executable, "-m", "facesr", "study", "serve", str(study), "--port", str(self.port)]
        if not dashboard:
            self.command.append("--no-dashboard")
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start and wait until it answers."""
        environment = {**os.environ, "FACESR_ADMIN_PASSWORD": "open sesame", "OMP_NUM_THREADS": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=environment, cwd=ROOT)
        deadline = time.monotonic() + 240  # a machine with other work takes minutes for Streamlit
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log.read_text()[-2000:]}")
            try:
                with urllib.request.urlopen(f"{self.url}/api/alive", timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        self.kill()
        raise AssertionError("the server did not answer within four minutes")

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


class ThreadServer:
    """The rating page and its API in a thread of this process: quicker to start, where nothing is killed."""

    def __init__(self, study: Path) -> None:
        import uvicorn

        from facesr.bench.study import load_study
        from facesr.dashboard.serve import study_app

        self.port = free_port()
        self.study = load_study(study)
        app = study_app(self.study, password="open sesame", streamlit=False)
        self.server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="error", access_log=False))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> ThreadServer:
        self.thread.start()
        deadline = time.monotonic() + 60
        while not self.server.started:
            assert time.monotonic() < deadline, "the server did not start within a minute"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.study.close()
