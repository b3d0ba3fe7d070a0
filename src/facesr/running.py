"""``facesr.run`` and ``facesr.load``: a comparison under a protocol, its tables and its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench import protocol as protocols
from facesr.bench import registry, results
from facesr.bench.errors import FaceSRError, Problems
from facesr.bench.registry import method_specs
from facesr.bench.weights import without_fetch
from facesr.owning import with_own_lr
from facesr.reports.export import Exported, Publication, export_run
from facesr.reports.tables import special_table, table_of
from facesr.restoring import ReadyMethod

if TYPE_CHECKING:
    import pandas as pd

    from facesr.bench.protocol import Protocol
    from facesr.bench.run import Plan
    from facesr.bench.run.forecast import Forecast
    from facesr.reports.site import Site
    from facesr.reports.table import Table
    from facesr.reports.writing import Written

COMPARED = ("bicubic", "fsrnet", "pix2pixhd", "pulse", "psp", "psp-refined")
"""The methods that a comparison takes by default."""


@dataclass(frozen=True)
class Run:
    """A run folder, finished or growing. ``folder``: paths of its images, protocol, faces and methods as the results room keeps them."""

    folder: results.Run
    said: tuple[str, ...] = ()
    """What the call that made it found besides: files that are no faces, answers of a shared store."""

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder.path

    @property
    def scores(self) -> pd.DataFrame:
        """One row per cell: image (``*`` for a whole set), method, scale, metric, value (NaN without one), status, reason, low, high, n."""
        return self.folder.scores()

    @property
    def failures(self) -> pd.DataFrame:
        """The rows of ``scores`` that did not end well, with their reasons."""
        scores = self.scores
        return scores[~scores["status"].isin([results.Status.OK, results.Status.SKIPPED])]

    @property
    def remarks(self) -> list[str]:
        """What came up about files as they were read, and what methods that score far below bicubic look like (BGR, shifted ...)."""
        return [*self.said, *self.folder.remarks()]

    def table(
        self, *, methods: Sequence[str] | None = None, metrics: Sequence[str] | None = None, scales: Sequence[int] | None = None,
        where: Sequence[str] = (), study: Path | str | None = None, full: bool = False, cost: Sequence[str] = (),
    ) -> Table:  # fmt: skip
        """Means with 95 % intervals over faces, n, and failures: methods x metrics.

        ``methods``, ``metrics``, ``scales``: only these, in this order. ``where``: only faces with these attributes (``gender=female``).
        ``study``: a MOS study of these methods; adds MOS. ``full``: with letters of methods that cannot be told apart.
        ``cost``: ``time`` (seconds per face) and ``memory`` (peak) as columns.
        The table has ``.latex()``, ``.markdown()``, ``.csv()``, ``.html()`` and ``.frame()``, and shows itself in a notebook.
        """
        return table(self.path, study=study, full=full, methods=methods, metrics=metrics, scales=scales, where=where, cost=cost)

    def report(self, out: Path | str | None = None, *, study: Path | str | None = None, **options: Any) -> Path:
        """Write ``report.html``, one self-contained page, and ``paper/``, LaTeX tables and PDF figures, into ``out`` (the run folder).

        ``options``: those of ``facesr.report``. Returns the page's path.
        """
        return report(self.path, out, study=study, **options).page

    def export(self, out: Path | str, **options: Any) -> Exported:
        """Write the run as a bundle to publish: a folder that is not there yet, or a file ``….zip``.

        ``options``: ``hr`` (with the HR images), ``rocrate``, ``every_eval_ever`` (with that metadata), ``licence``, ``authors``,
        ``organization``: see ``facesr.reports.export.Publication``. Returns where it lies, how many files are in it, and what is not in it and why.
        """
        return export_run(self.folder, Path(out), Publication(**options))

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def load(path: Path | str) -> Run:
    """Open a run folder. Raises ``FaceSRError`` for a folder that is none, or is damaged."""
    return Run(results.load_run(Path(path)))


Paths = Path | str | Sequence[Path | str]
"""One folder, or several."""


def table(
    of: Paths, *, study: Path | str | None = None, full: bool = False, methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None, scales: Sequence[int] | None = None, where: Sequence[str] = (),
    peek: bool = False, simulated: bool = False, preset: str | None = None, cost: Sequence[str] = (), by: str = "",
    samples: Sequence[str] | None = None,
) -> Table:  # fmt: skip
    """The table of a run, of several runs of one protocol digest, or of a study.

    As ``Run.table``; besides: ``peek``: show a study's means before its stopping rule is met, which is logged. ``simulated``: of a study's
    simulated raters; the table says so. ``preset``: a layout by name, such as ``seed-table1``. ``by``: an attribute (``gender``): beside every
    mean the group that is served worst and its gap to the best, with intervals. ``samples``: how far apart several answers to one LR are: labels of
    one method run with several seeds, or [] for the samples that methods stored.
    """
    if by or samples is not None:
        beside = {"--study": study, "--full": full, "--preset": preset, "--peek": peek, "--simulated": simulated, "--cost": cost}
        return special_table(
            _paths(of), by=by, samples=samples, methods=methods, metrics=metrics, scales=scales, attributes=where,
            beside=[name for name, given in beside.items() if given],
        )  # fmt: skip
    return table_of(
        _paths(of), study=None if study is None else Path(study), full=full, methods=methods, metrics=metrics, scales=scales,
        attributes=where, peek=peek, simulated=simulated, preset=preset, cost=cost,
    )  # fmt: skip


def report(of: Paths, out: Path | str | None = None, *, study: Path | str | None = None, **options: Any) -> Written:
    """Write the report of a run, or of several of one protocol digest: ``report.html`` and ``paper/`` in ``out`` (the first run's folder).

    ``options``: those of ``facesr.reports.writing.write_report`` (methods, metrics, scales, where, faces, count, seed, metric, zooms, peek,
    simulated, cost). Returns what was written: ``page``, ``paper`` and the number of ``files`` in it.
    """
    from facesr.reports.writing import write_report

    paths = _paths(of)
    return write_report(paths, Path(out or paths[0]), study=None if study is None else Path(study), **options)


def site(of: Paths, out: Path | str, *, title: str = "Face super-resolution leaderboard") -> Site:
    """Write a static leaderboard of many runs, bundles or submissions: a table per digest, a ranking per metric; no script, no outside link.

    A submission is a folder with ``bundle`` (or ``bundle.zip``), and with ``verification.json`` where it was checked (``facesr.verify``).
    """
    from facesr.reports.site import write_site

    return write_site(_paths(of), Path(out), title)


def _paths(of: Paths) -> list[Path]:
    return [Path(of)] if isinstance(of, Path | str) else [Path(p) for p in of]


def run(
    protocol: str | PathLike[str] | Protocol | None = None, methods: Sequence[str | ReadyMethod] = COMPARED, out: Path | str = "runs/run", *,
    settings: Sequence[str] = (), data: Path | str | None = None, attributes: Path | str | None = None, lr: Path | str | None = None,
    references: Path | str | None = None, size: int | None = None, lr_names: str = "", metrics: Sequence[str] = (), limit: int | None = None,
    shard: str = "", seed: int = 0, device: str = "cpu", workers: int | None = 1, on: str | None = None,
    slurm: Mapping[str, Any] | None = None, cache: str | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None, say: Callable[[str], None] = lambda line: None,
) -> Run:  # fmt: skip
    """Compare methods on a protocol's faces; what an earlier call into ``out`` finished is not computed again.

    ``protocol``: a name (``facesr protocols`` lists them), a TOML file, or a ``Protocol``. ``methods``: names and specifications as
    ``facesr run --methods`` takes them, or what ``facesr.method`` made; ``settings``: their parameters (``pulse.steps=200``).
    ``data``: a folder of aligned HR faces in place of the protocol's; ``attributes``: a CSV of the faces' attributes.
    ``lr``: a folder of LR images of one's own in place of degraded HR (then a protocol may be left out: side ``size``, metrics by what there
    is; ``lr_names``: how its files are named, where not as HR is: ``x8``, ``{name}x8.png``, a CSV); without HR, ``references`` are photos of
    the people. ``metrics``: names in place of the protocol's. ``limit``: the first faces only; ``shard``: ``3/16`` is the third of sixteen
    parts, which ``facesr.merge`` puts together.
    ``workers``: processes (None: as many as the machine
    carries; any number gives the same bytes; a script asks for several under ``if __name__ == "__main__":``). ``on``: ``ray`` or ``slurm``,
    a cluster that does the tasks; ``slurm``: settings of its jobs. ``cache``: a store of answers
    shared with others, as ``--cache`` names it. ``progress(what, done, total)`` is called as work proceeds, ``say(line)`` before the first
    face with all that is known by then: weights that are missing (their cells stay empty, the others are computed), terms, files left over.
    Raises ``FaceSRError`` for a request that cannot be met, with all its problems, before any work starts.
    """
    from facesr.bench.run import start
    from facesr.bench.run.clusters import workers_on
    from facesr.bench.run.shared import SharedStore
    from facesr.bench.run.workers import early_workers

    with early_workers(Path(out), 1 if on else workers, device) as team:
        plan = _plan(
            protocol, methods, out, settings=settings, data=data, attributes=attributes, lr=lr, references=references, size=size,
            lr_names=lr_names, metrics=metrics, limit=limit, shard=shard, seed=seed, device=device, on=on,
        )  # fmt: skip
        store = SharedStore(cache) if cache else None
        made = start(plan, progress, team or (lambda: workers_on(on, workers, device, plan.out, slurm or {})), store, say)
    return Run(made, (*plan.leftovers, *(store.sentences if store else ())))


def forecast(
    protocol: str | PathLike[str] | Protocol | None = None, methods: Sequence[str | ReadyMethod] = COMPARED, out: Path | str = "runs/run", *,
    settings: Sequence[str] = (), data: Path | str | None = None, attributes: Path | str | None = None, lr: Path | str | None = None,
    references: Path | str | None = None, size: int | None = None, lr_names: str = "", metrics: Sequence[str] = (), limit: int | None = None,
    shard: str = "", seed: int = 0, device: str = "cpu", workers: int | None = 1, on: str | None = None,
    slurm: Mapping[str, Any] | None = None,
) -> Forecast:  # fmt: skip
    """What ``run`` would do with the same arguments, without doing it: nothing is computed, downloaded or written.

    ``images`` and ``scores`` say for each method (and metric) how many cells are due and how many are there already; ``seconds`` the time to
    restore, None where a method was never timed on this machine; ``needed`` and ``free`` the bytes; ``notes`` what is missing (weights) and
    which terms there are. ``lines`` is all of it for a terminal. Raises ``FaceSRError`` as ``run`` does.
    """
    from facesr.bench.run.clusters import workers_on
    from facesr.bench.run.forecast import look_ahead

    with without_fetch():
        plan = _plan(
            protocol, methods, out, settings=settings, data=data, attributes=attributes, lr=lr, references=references, size=size,
            lr_names=lr_names, metrics=metrics, limit=limit, shard=shard, seed=seed, device=device, on=on,
        )  # fmt: skip
        problems = Problems()
        team = problems.step(lambda: workers_on(on, workers, device, plan.out, slurm or {}))
        found = problems.step(lambda: look_ahead(plan, team.count if team else 1))
        problems.besides(found.lost if found else ())
        problems.report()
        assert found is not None
        return found


def merge(
    out: Path | str, shards: Sequence[Path | str], *, workers: int | None = 1,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Run:  # fmt: skip
    """Put all shards of a run together in the folder ``out``: images and scores as they are, scores of the whole set computed.

    ``workers``, ``progress``: as for ``run``. Raises ``FaceSRError`` where a shard is missing, unfinished or of another run.
    """
    from facesr.bench.run.merge import merge_shards
    from facesr.bench.run.workers import make_workers

    return Run(merge_shards(out, shards, progress, make_workers(workers)))


def _plan(
    protocol: str | PathLike[str] | Protocol | None, methods: Sequence[str | ReadyMethod], out: Path | str, *, settings: Sequence[str],
    data: Path | str | None, attributes: Path | str | None, lr: Path | str | None, references: Path | str | None, size: int | None,
    lr_names: str, metrics: Sequence[str], limit: int | None, shard: str, seed: int, device: str, on: str | None,
) -> Plan:  # fmt: skip
    from facesr.bench.run import make_plan

    if isinstance(metrics, str):
        raise FaceSRError(f"metrics is the text {metrics!r}: give a list, as in [{metrics!r}]")
    if isinstance(protocol, str | PathLike):
        protocol = protocols.load_protocol(str(protocol), registry.installed("facesr.metrics"))
    folders = {name: None if folder is None else str(folder) for name, folder in (("lr", lr), ("references", references))}
    protocol = with_own_lr(protocol, hr=data is not None, size=size, names=lr_names, **folders)
    return make_plan(
        protocol, specs(methods, settings), out, data=None if data is None else str(data), metrics=metrics, limit=limit, seed=seed,
        device=device, shard=shard, attributes=None if attributes is None else str(attributes), elsewhere=on is not None,
    )  # fmt: skip


def specs(methods: Sequence[str | ReadyMethod], settings: Sequence[str] = ()) -> list[Any]:
    """Specifications of methods, each label once; ``settings`` of those named by a text."""
    if isinstance(methods, str):
        raise FaceSRError(f"methods is the text {methods!r}: give a list, as in [{methods!r}]")
    named = iter(method_specs([m for m in methods if isinstance(m, str)], settings))
    found = [next(named) if isinstance(m, str) else m.spec for m in methods]
    if twice := {s.label for s in found if [t.label for t in found].count(s.label) > 1}:
        raise FaceSRError(f"two methods are labelled {min(twice)!r}: give one a label, as in facesr.method('psp', label='mine')")
    return found
