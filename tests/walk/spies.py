"""What stands for servers, clusters, clocks and other programs."""

from __future__ import annotations

import os

import pytest


class Timer:
    """Stands for a clock that opens the browser."""

    def __init__(self, args: tuple[object, ...]) -> None:
        self.args = args

    def start(self) -> None:
        print("browser", *self.args)


class Listener(tuple[str, int]):
    """Stands for a socket."""

    def getsockname(self) -> tuple[str, int]:
        return self


def spies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers, clusters, clocks and other programs say what they were asked for and end."""
    import threading
    import time

    from facesr.bench.run import clusters, workers
    from facesr.bench.run.device import gpus
    from facesr.bench.run.workers import Here
    from facesr.cli import dashboard
    from facesr.dashboard import serve
    from facesr.reports import paper

    def said(name: str, result: object = None) -> object:
        def call(*args: object, **options: object) -> object:
            shown = [a for a in args if isinstance(a, int | float | str | dict)]
            print(name, *shown, *options.items())
            if isinstance(result, BaseException):
                raise result
            return result() if callable(result) else result

        return call

    def team(count: int | None, device: str = "cpu") -> Here:
        gpus(device)
        print("workers", count, device)
        return Here()

    monkeypatch.setattr(clusters, "make_workers", team)
    monkeypatch.setattr(workers, "make_workers", team)
    monkeypatch.setattr(clusters, "OnSlurm", said("slurm", Here))
    monkeypatch.setattr(clusters, "OnRay", said("ray", Here))
    monkeypatch.setattr(paper, "compile_paper", said("pdf"))
    monkeypatch.setattr(dashboard, "dashboard_app", said("pages", str))
    monkeypatch.setattr(
        dashboard, "serve_on", lambda app, at: print("serves", at, os.environ["FACESR_RUNS"], os.environ["FACESR_STUDIES"])
    )
    monkeypatch.setattr(dashboard, "_listen", lambda name, port: Listener((name, port)))
    monkeypatch.setattr(threading, "Timer", lambda wait, act, args: Timer(args))
    monkeypatch.setattr(serve, "study_app", lambda study, **options: print("app", study.path, *sorted(options.items())))
    monkeypatch.setattr(serve, "serve", said("serves"))
    monkeypatch.setenv("FACESR_ADMIN_PASSWORD", "a password")
    monkeypatch.setattr(time, "sleep", said("slept", KeyboardInterrupt()))
