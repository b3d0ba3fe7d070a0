"""The same bytes from any number of workers and shards; deaths, Ctrl-C and kills cost a retry at most."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from facesr.bench import protocol, registry
from facesr.bench.errors import FaceSRError
from facesr.bench.results import Run, load_run
from facesr.bench.run import Plan, make_plan, start
from facesr.bench.run import workers as crew
from facesr.bench.run.live import Live, Notes, read_live
from facesr.bench.run.merge import merge_shards
from facesr.bench.run.workers import Here, Processes, default_count, early_workers, gpus, make_workers
from helpers import TINY, faces

METHOD = '''
import os, signal, time
from pathlib import Path
import torch
from facesr.bench.imaging import resize
from facesr.bench.method import Method

class Net(Method):
    """A small network of random weights; what it does to its worker is a parameter."""
    batch_size = 2
    def __init__(self, *, deadly="", once="", slow=0.0, **more):
        super().__init__(**more)
        self.deadly, self.once, self.slow = str(deadly), once, slow
    def load(self):
        torch.manual_seed(3)
        self.net = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(64, 3, 3, padding=1))
    def restore(self, lr, names=()):
        time.sleep(self.slow)
        if self.deadly in names and (not self.once or not Path(self.once).exists()):
            if self.once:
                Path(self.once).write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        with torch.no_grad():
            return resize(lr, self.size, "bicubic-matlab") + 0.1 * self.net(resize(lr, self.size, "nearest"))
'''
PROTOCOL = TINY.replace("[study]", '[[metric]]\nname = "retrieval-sface"\n[study]')


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("workers")
    faces(place / "hr", 7)
    (place / "net.py").write_text(METHOD)
    return place


def _plan(world: Path, out: str, *settings: str, shard: str = "", methods: tuple[str, ...] = ()) -> Plan:
    specs = registry.method_specs([f"{world / 'net.py'}:Net", *(methods or ("bicubic",))], settings)
    known = protocol.parse_protocol(PROTOCOL, metrics=registry.installed("facesr.metrics"))
    return make_plan(known, specs, world / out, data=str(world / "hr"), shard=shard)


def _bytes(run: Path) -> dict[str, bytes]:
    files = [*sorted((run / "sr").rglob("*.png")), *sorted((run / "lr").rglob("*.png")), run / "scores.parquet"]
    return {str(f.relative_to(run)): f.read_bytes() for f in files}


@pytest.fixture(scope="module")
def alone(world: Path) -> Run:
    return start(_plan(world, "alone"))


def test_two_workers_give_the_same_bytes(world: Path, alone: Run) -> None:
    workers = Processes(2)
    run = start(_plan(world, "two"), workers=workers)
    assert _bytes(run.path) == _bytes(alone.path)
    assert len(_bytes(run.path)) == 7 * 3 + 1
    assert workers.deaths == 0
    assert not workers.doing()  # all have ended
    assert set(run.scores().status) <= {"ok", "no_face", "failed"}


def test_threads_change_nothing(world: Path, alone: Run) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        run = start(_plan(world, "threads"))
        assert torch.get_num_threads() == 4  # the caller's own setting is left alone
    finally:
        torch.set_num_threads(before)
    assert _bytes(run.path) == _bytes(alone.path)


def test_three_shards_merge_to_the_same_bytes(world: Path, alone: Run) -> None:
    shards = [start(_plan(world, f"s{i}", shard=f"{i}/3")).path for i in (1, 2, 3)]
    assert [len(load_run(s).faces) for s in shards] == [3, 2, 2]
    assert load_run(shards[0]).digest == alone.digest
    merged = merge_shards(world / "merged", [shards[2], shards[0], shards[1]])
    assert _bytes(merged.path) == _bytes(alone.path)
    assert merged.info.shard == ""
    assert [f.name for f in merged.faces] == [f.name for f in alone.faces]
    before = {p: p.stat().st_mtime_ns for p in (world / "merged").rglob("*.png")}
    assert _bytes(merge_shards(world / "merged", shards).path) == _bytes(alone.path)  # again: nothing to do
    again = start(_plan(world, "merged"))  # and the whole run finds every cell
    assert {p: p.stat().st_mtime_ns for p in (world / "merged").rglob("*.png")} == before
    assert _bytes(again.path) == _bytes(alone.path)


def test_shards_that_are_not_one_run_are_refused(world: Path, alone: Run) -> None:
    a, b = (start(_plan(world, f"t{i}", shard=f"{i}/3")).path for i in (1, 2))
    with pytest.raises(FaceSRError, match="shards are missing: 3/3"):
        merge_shards(world / "no", [a, b])
    with pytest.raises(FaceSRError, match="is no shard"):
        merge_shards(world / "no", [a, alone.path])
    other = start(_plan(world, "t3", "net.slow=0.01", shard="3/3")).path
    with pytest.raises(FaceSRError, match="has other methods"):
        merge_shards(world / "no", [a, b, other])
    image = next((b / "sr/net").glob("*.png"))
    image.write_bytes(b"not it")
    third = start(_plan(world, "t4", shard="3/3")).path
    with pytest.raises(FaceSRError, match="not the image that was measured"):
        merge_shards(world / "no", [a, b, third])
    with pytest.raises(FaceSRError, match="holds shard 1/3"):
        start(_plan(world, "t1"))


@pytest.mark.parametrize("text", ["4/3", "0/3", "x", "1", "1/0", "9/9"])
def test_wrong_shards_are_refused(world: Path, text: str) -> None:
    with pytest.raises(FaceSRError, match="--shard"):
        _plan(world, "x", shard=text)


def test_a_death_costs_a_retry(world: Path, alone: Run) -> None:
    workers = Processes(2)
    run = start(_plan(world, "once", "net.deadly='003'", f"net.once={world / 'died'}"), workers=workers)
    assert workers.deaths == 1
    assert _bytes(run.path) == _bytes(alone.path)


def test_a_task_that_ends_three_workers_is_given_up(world: Path, alone: Run) -> None:
    workers = Processes(2)
    run = start(_plan(world, "thrice", "net.deadly='003'"), workers=workers)
    assert workers.deaths == 3
    psnr = run.scores().query("method == 'net' and metric == 'psnr'").set_index("image")
    assert (psnr.status[["002", "003"]] == "failed").all()  # a batch of two
    assert "worker process ended 3 times" in psnr.reason["003"]
    assert "signal 9" in psnr.reason["003"]
    assert (psnr.status.drop(["002", "003"]) == "ok").all()
    assert (run.scores().query("method == 'bicubic' and metric == 'psnr'").status == "ok").all()


@pytest.mark.timeout(900)  # ten processes start: a minute of two cores, more beside other work
def test_seven_workers_and_random_kills(world: Path) -> None:
    """Three workers, each at another task, are killed at random moments."""
    faces(world / "many", 14)
    specs = registry.method_specs([f"{world / 'net.py'}:Net", "nearest"], ["net.slow=0.3"])
    known = protocol.parse_protocol(TINY, metrics=registry.installed("facesr.metrics"))
    single = start(make_plan(known, specs, world / "many-1", data=str(world / "many")))
    workers, drawn, ended = Processes(7), random.Random(5), threading.Event()
    killed: dict[int, int] = {}

    def kill() -> None:
        while len(killed) < 3 and not ended.wait(drawn.uniform(0.0, 0.3)):
            busy = [w for w in list(workers._workers) if w.task is not None and id(w.task) not in killed]
            if busy:
                victim = drawn.choice(busy)
                killed[id(victim.task)] = victim.process.pid
                os.kill(victim.process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run = start(make_plan(known, specs, world / "many-7", data=str(world / "many")), workers=workers)
    finally:
        ended.set()
        killer.join()
    assert workers.deaths == len(killed) == 3
    assert len(_bytes(run.path)) == 14 * 3 + 1
    assert _bytes(run.path) == _bytes(single.path)


def _command(world: Path, out: str) -> list[str]:
    (world / "p.toml").write_text(PROTOCOL)
    named = ["--methods", f"{world / 'net.py'}:Net,bicubic", "--set", "net.slow=0.4", "--data", str(world / "hr")]
    return [sys.executable, "-m", "facesr", "run", str(world / "p.toml"), *named, "--out", str(world / out), "--workers", "2"]


def _workers_of(run: Path, least: int = 2) -> list[int]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        live = read_live(run)
        if live and len(live.workers) >= least and live.done:
            return [int(w.worker.removeprefix("process ")) for w in live.workers]
        time.sleep(0.05)
    raise AssertionError("the run did not begin")


def _gone(pids: list[int], within: float) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{p}").exists() and "Z" not in Path(f"/proc/{p}/stat").read_text().split()[2] for p in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_driver_leaves_nobody_and_can_go_on(world: Path, how: signal.Signals) -> None:
    out = f"stopped{how}"
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell that runs pytest in the background ignores it, and so would the child
    with (world / f"{out}.log").open("w") as log:
        process = subprocess.Popen(_command(world, out), stdout=log, stderr=log)
    pids = _workers_of(world / out)
    watched = subprocess.run(
        [sys.executable, "-m", "facesr", "watch", str(world / out), "--once"], capture_output=True, text=True, check=True
    )
    assert "of 7 faces" in watched.stdout
    assert all(f"process {pid}: " in watched.stdout for pid in pids)
    began = time.monotonic()
    process.send_signal(how)
    status = process.wait(60)
    assert time.monotonic() - began < 20  # within 5 s on a machine that does nothing else
    assert status == (130 if how == signal.SIGINT else -9)
    assert _gone(pids, 30)
    assert load_run(world / out).running
    done = subprocess.run(_command(world, out), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr  # no recogniser finds a face in these: their set metric has no value
    assert "2 methods" in done.stdout
    whole = start(_plan(world, "whole", "net.slow=0.4"))
    assert _bytes(world / out) == _bytes(whole.path)


def test_live_notes(tmp_path: Path) -> None:
    notes = Notes(tmp_path, lambda: {"process 7": "psp, 8 faces", "process 9": ""}, lambda: 1)
    notes("psp", 0, 10)
    notes("psp", 10, 10)
    live = read_live(tmp_path)
    assert live is not None
    assert (live.stage, live.done, live.total, live.deaths) == ("psp", 10, 10, 1)
    assert "1 of 2 workers busy" in live.line
    assert "1 workers ended" in live.line
    assert not live.stopped
    (tmp_path / "progress.json").write_text(json.dumps({"stage": "psp", "done": 1, "total": 2, "at": time.time() - 60}))
    silent = read_live(tmp_path)
    assert silent is not None
    assert silent.stopped
    (tmp_path / "progress.json").write_text(json.dumps({"stage": 3}))
    assert read_live(tmp_path) is None
    notes.remove()
    assert read_live(tmp_path) is None
    assert Live("a", 5, 10, 0.0, 2.0, 2.5).line == "a: 5 of 10 faces, 2 faces/s, about 2 s left"


def test_notes_come_while_no_face_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facesr.bench.run.live.BEAT", 0.05)
    notes = Notes(tmp_path)
    first = read_live(tmp_path)
    assert first is not None
    assert first.line == "starting"
    deadline = time.monotonic() + 60
    while (now := read_live(tmp_path)) is None or now.at == first.at:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    notes.remove()
    time.sleep(0.2)
    assert not list(tmp_path.iterdir())


def test_how_many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(make_workers(1), Here)
    assert make_workers(3).count == 3
    monkeypatch.setenv("FACESR_WORKERS", "5")
    assert make_workers(None).count == 5
    monkeypatch.delenv("FACESR_WORKERS")
    assert 1 <= make_workers(None).count <= (os.cpu_count() or 1)
    with pytest.raises(FaceSRError, match="--workers 0"):
        make_workers(0)
    assert gpus("cpu") is None
    with pytest.raises(FaceSRError, match=r"--device cuda:99"):
        gpus("cuda:99")


def test_the_array_script_of_the_documentation(world: Path, alone: Run) -> None:
    """The ten lines of docs/large-runs.md, as SLURM would call them."""
    text = (Path(__file__).parents[3] / "docs/large-runs.md").read_text()
    script = text.partition("```bash\n")[2].partition("```")[0]
    assert len(script.splitlines()) <= 10
    (world / "array.sh").write_text(script)
    (world / "array.toml").write_text(PROTOCOL.replace('"nowhere"', f'"{world / "hr"}"'))
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PROTOCOL": str(world / "array.toml"),
        "OUT": str(world / "array"),
        "METHODS": f"{world / 'net.py'}:Net,bicubic",
    }
    for task in ("1", "2", "3"):
        done = subprocess.run(["bash", str(world / "array.sh")], env=environment | {"SLURM_ARRAY_TASK_ID": task}, check=False)
        assert done.returncode in (0, 1)  # 1: no recogniser finds a face in these
    merged = merge_shards(world / "array", [world / f"array-{i}" for i in (1, 2, 3)])
    assert _bytes(merged.path) == _bytes(alone.path)


def test_memory_that_only_caches_files_counts_for_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has read many files has little free memory and much that programs may take: 5 GiB are two workers, 1 GiB is one."""
    monkeypatch.delenv("FACESR_WORKERS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    monkeypatch.setattr(crew, "MEMINFO", tmp_path / "meminfo")
    for available, count in ((5 << 20, 2), (1 << 20, 1), (64 << 20, 16)):
        (tmp_path / "meminfo").write_text(f"MemTotal: 99999999 kB\nMemFree: 100 kB\nMemAvailable: {available} kB\n")
        assert default_count() == count
    (tmp_path / "meminfo").unlink()
    assert default_count() >= 1


def test_workers_start_while_a_first_run_is_planned_and_end_with_it(tmp_path: Path) -> None:
    with pytest.raises(FaceSRError, match="no such plan"), early_workers(tmp_path, 9, "cpu") as team:
        assert isinstance(team, Processes)
        processes = [worker.process for worker in team._workers]
        assert len(processes) == crew.EARLY
        assert all(process.is_alive() for process in processes)
        raise FaceSRError("no such plan")
    assert not any(process.is_alive() for process in processes)


@pytest.mark.parametrize(
    ("count", "device", "before"), [(1, "cpu", False), (2, "cuda", False), (2, "cpu", True), (0, "cpu", False)]
)
def test_no_worker_starts_early_where_nothing_is_won(tmp_path: Path, count: int, device: str, before: bool) -> None:
    if before:
        (tmp_path / "run.json").write_text("{}")
    with early_workers(tmp_path, count, device) as team:
        assert team is None
