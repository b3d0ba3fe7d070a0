"""``facesr.verify`` and ``facesr.reproduce``: is a published run what it says it is?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facesr.bench.verify.check import Record
    from facesr.bench.verify.reproduce import Reproduction

Tick = Callable[[str, int, int], None]


def verify(
    bundle: Path | str, sample: str = "", *, data: Path | str | None = None, methods: Sequence[str] = (), settings: Sequence[str] = (),
    seed: int | None = None, progress: Tick = lambda what, done, total: None,
) -> Record:  # fmt: skip
    """Check a run, or a bundle that somebody handed in: its files, digest, grid and tables, and cells drawn at random.

    ``sample``: faces whose scores (and, by methods that are installed here, images) are computed again: ``1%``, a number, ``all``; '' for none.
    ``data``: a folder of HR, or a prepared data set, in place of the protocol's. ``methods``: how methods that are not installed here are run, as
    ``facesr run --methods`` takes them (``theirs=their_file.py:Theirs``), ``settings`` as its ``--set``; nothing of the bundle's own is imported.
    ``seed``: draws the same faces again. The record has ``clean``, ``findings``, ``remarks`` and ``as_json()``.
    """
    from facesr.bench.registry import method_specs
    from facesr.bench.verify.bundle import open_bundle
    from facesr.bench.verify.check import verify_run
    from facesr.bench.verify.material import asked_methods

    with open_bundle(Path(bundle)) as run:
        specs = asked_methods(run, method_specs(methods), settings)
        return verify_run(run, sample, data=None if data is None else str(data), asked=specs, seed=seed, tick=progress)


def reproduce(
    bundle: Path | str, out: Path | str | None = None, *, data: Path | str | None = None, methods: Sequence[str] = (),
    settings: Sequence[str] = (), device: str = "cpu", workers: int | None = 1, progress: Tick = lambda what, done, total: None,
) -> Reproduction:  # fmt: skip
    """Run a published bundle again, whole, and compare every image and score: bytes first, then a tolerance.

    ``out``: where the new run is kept (else it is gone afterwards). ``data``, ``methods``, ``settings``: as for ``verify``. ``device``,
    ``workers``: as for ``facesr.run``. The answer has a verdict per method, ``reproduced`` and ``as_json()``.
    """
    from facesr.bench.registry import method_specs
    from facesr.bench.run.workers import make_workers
    from facesr.bench.verify.bundle import open_bundle
    from facesr.bench.verify.material import asked_methods
    from facesr.bench.verify.reproduce import reproduce_run

    with open_bundle(Path(bundle)) as run:
        specs = asked_methods(run, method_specs(methods), settings)
        return reproduce_run(
            run, None if out is None else Path(out), data=None if data is None else str(data), asked=specs, device=device,
            workers=make_workers(workers, device), tick=progress,
        )  # fmt: skip
