"""A run: a grid of cells (image x method x metric), resumable, that never drops one.

``start`` does what is due and nothing else: stopping at any moment and starting again gives the same images and scores as never
stopping. The folder is described in ``facesr.bench.results``. Computing (``restoring``, ``scoring``) knows nothing of the folder; what is
due and what is written (``lr``, ``restorer``, ``scorer``) computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from facesr.bench.errors import FaceSRError, Problems
from facesr.bench.imaging.files import make_folder
from facesr.bench.registry import MethodSpec, installed
from facesr.bench.results import FORMAT, DataInfo, FaceInfo, MethodInfo, Run, RunInfo, Status, load_run
from facesr.bench.results.again import command
from facesr.bench.results.cells import Cells, SrCell
from facesr.bench.run.environment import environment
from facesr.bench.run.findings import as_before, with_findings
from facesr.bench.run.folder import finish, locked, log_traces, seen_from, utc_now, write_info
from facesr.bench.run.known import known_before, lost_cells
from facesr.bench.run.live import Notes
from facesr.bench.run.lr import LrImages, Progress, make_lr
from facesr.bench.run.plan import Plan, identity_of, make_plan
from facesr.bench.run.restorer import Restorer
from facesr.bench.run.restoring import RestoreResult, RestoreTask
from facesr.bench.run.scorer import Scorer
from facesr.bench.run.scoring import ScoreResult, ScoreTask
from facesr.bench.run.shared import SharedStore
from facesr.bench.run.workers import Here, Workers

__all__ = ["Plan", "Progress", "make_plan", "start"]


def start(
    plan: Plan,
    progress: Progress = lambda what, done, total: None,
    workers: Workers | Callable[[], Workers] | None = None,
    store: SharedStore | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Run:
    """Do what is due in the run folder and return the finished run.

    Methods of earlier calls stay in it. Those that are installed are brought up to date too; of others (a user's file, a folder, a
    program) the images that are there are kept and scored, but nothing is imported or run unless this call names it. ``workers``:
    who computes, or what makes them; a device that is not there is then reported with what is wrong with methods. ``store``: where answers are
    looked up before they are computed, and left for others. ``say``: called before the first face with each line of ``known_before``: what is
    missing costs its own cells and no others, and whoever would rather get it first can stop here. A folder that a refused call made is gone again.
    """
    with locked(plan.out):
        previous = previous_run(plan)
        plan = with_earlier_methods(plan, previous)
        started = utc_now()
        with Cells(plan.out, write=True) as cells:
            problems = Problems()
            team = problems.step(workers) if callable(workers) else workers or Here()
            restorers = problems.step(lambda: restorers_of(plan, cells, store))
            problems.besides(lost_cells(plan, restorers or ()))
            problems.report()
            assert team is not None
            assert restorers is not None
            for line in known_before(plan, restorers):
                say(line)
            _move_scales(plan, previous)
            _forget_changed(plan, cells, previous)
            info = as_before(_info(plan, restorers), previous)
            write_info(plan.out, replace(info, state="running"), previous, started)
            notes = Notes(plan.out, team.doing, lambda: team.deaths)

            def told(stage: str, done: int, total: int) -> None:
                progress(stage, done, total)
                notes(stage, done, total)

            try:
                decoded = _restore_and_score(plan, cells, restorers, team, told, store)
                team.dismiss()
                info = with_findings(info, plan, cells, restorers, previous, decoded)
            finally:
                team.close()
                notes.remove()
            finish(plan.out, info, cells)
        write_info(plan.out, info, previous, started)
    return load_run(plan.out)


def _restore_and_score(
    plan: Plan, cells: Cells, restorers: list[Restorer], workers: Workers, progress: Progress, store: SharedStore | None
) -> dict[str, str]:
    """Compute what is due. Returns what decoding the HR images took, of those that were read."""
    needs_lr = (
        plan.protocol.lr is not None or any(m.metric.needs_lr for m in plan.metrics) or any(r.facts.needs_lr for r in restorers)
    )
    lr = make_lr(plan, cells, progress) if needs_lr else LrImages()
    owners = {(r.spec.label, r.scale): r for r in restorers}
    due = {r.spec.label: 0 for r in restorers}
    done = dict(due)

    def all_tasks() -> Iterator[RestoreTask]:
        for restorer in restorers:
            tasks = list(restorer.tasks(lr))
            due[restorer.spec.label] += sum(t.faces for t in tasks)
            yield from tasks

    for task, result in workers.do(all_tasks()):
        assert isinstance(task, RestoreTask)
        assert isinstance(result, RestoreResult)
        owner = owners[task.spec.label, task.scale]
        owner.accept(result)
        done[task.title] += task.faces
        progress(task.title, done[task.title], due[task.title])
    for restorer in restorers:
        log_traces(plan.out, restorer.traces)
    scorer = Scorer(plan, cells, lr.pixels, store)
    total, scored = len(scorer.faces), 0
    for task, result in workers.do(scorer.tasks()):
        assert isinstance(task, ScoreTask)
        assert isinstance(result, ScoreResult)
        scorer.accept(task, result)
        scored += task.faces
        progress(task.title, scored, total)
    scorer.finish()
    log_traces(plan.out, [*scorer.traces, *(store.sentences if store and store.wrong else [])])
    return lr.notes | scorer.notes


def restorers_of(plan: Plan, cells: Cells, store: SharedStore | None) -> list[Restorer]:
    """One for each method and scale; what refuses the run is reported of all methods together."""
    problems = Problems()
    made = [problems.step(partial(Restorer, plan, cells, spec, scale, store)) for spec in plan.methods for scale in plan.scales]
    problems.report()
    return [restorer for restorer in made if restorer]


def previous_run(plan: Plan) -> Run | None:
    """What an earlier call left in the run folder; raises ``FaceSRError`` where that is another shard."""
    if not (plan.out / "run.json").is_file():
        return None
    try:
        run = load_run(plan.out)
    except FaceSRError:
        return None  # half-written by an older version or another program: run.json is rewritten, cells are checked one by one
    if run.info.shard != plan.shard:
        held, asked = (f"shard {s}" if s else "all faces" for s in (run.info.shard, plan.shard))
        raise FaceSRError(f"{plan.out} holds {held} of this run, not {asked}: choose another --out")
    return run


def with_earlier_methods(plan: Plan, previous: Run | None) -> Plan:
    """Methods of earlier calls, in their order; one that is asked for again may have new parameters. See ``start``."""
    if previous is None or not _same_pictures(plan, previous):
        return plan
    asked = {m.label: m for m in plan.methods}
    known = set(installed("facesr.methods").values())
    again: list[MethodSpec] = []
    kept: list[MethodInfo] = []
    for old in previous.info.methods:
        if old.label in asked:
            again.append(asked.pop(old.label))
        elif old.target in known:
            again.append(MethodSpec(old.label, old.target, old.params).under(plan.protocol.values))
        else:
            kept.append(old)
    labels = (*previous.methods, *asked)
    return replace(plan, methods=(*again, *asked.values()), kept=tuple(kept), labels=labels)


def _same_pictures(plan: Plan, previous: Run) -> bool:
    """Whether LR and HR are made as in the earlier calls. Metrics, scales, faces and the protocol's version may differ: cells are found
    again by content, and only what is new is computed. Where LR or HR are others, only the methods of this call are in the run."""
    old, new = dict(previous.protocol), plan.protocol.as_dict()
    if ("lr" in old) != ("lr" in new):
        return False
    parts = [("data", "size"), ("data", "reduce"), ("degradation", "kernel"), ("degradation", "quantize")]
    return all(dict(old.get(room) or {}).get(key) == new[room][key] for room, key in parts)


def _forget_changed(plan: Plan, cells: Cells, previous: Run | None) -> None:
    """Images of methods that this call does not run again are of the HR they were made from: where that changed they are gone."""
    before = {f.name: identity_of(f) for f in previous.faces} if previous else {}
    changed = {f.name for f in plan.data.faces if before.get(f.name, identity_of(f)) != identity_of(f)}
    why = f"its {'HR' if plan.protocol.lr is None else 'HR or LR'} image changed, and this call does not run the method again"
    for method in plan.kept if changed else ():
        rows = [c for c in cells.rows(SrCell, method=method.label) if c.image in changed]
        cells.put([c._replace(status=Status.MISSING, reason=why, sha256="") for c in rows])


def _move_scales(plan: Plan, previous: Run | None) -> None:
    """Images lie in a folder per scale where there are several: those of a run that had one move there, or back."""
    before, now = (tuple(previous.scales) if previous else ()), plan.scales
    if len(before) == len(now) or not before or 1 not in (len(before), len(now)):
        return
    scale = f"x{(before if len(before) == 1 else now)[0]}"
    for folder in [plan.out / "lr", *plan.out.glob("sr/*")]:
        old, new = (folder, folder / scale) if len(before) == 1 else (folder / scale, folder)
        if old.is_dir() and not folder.is_symlink():
            make_folder(plan.out, new)
            for file in [*old.glob("*.png"), *old.glob("*.npy")]:
                file.replace(new / file.name)


def _info(plan: Plan, restorers: list[Restorer]) -> RunInfo:
    """``run.json`` of a finished run, methods of earlier calls first."""
    data = plan.data
    methods = {m.label: m for m in plan.kept} | {r.spec.label: r.info for r in reversed(restorers)}
    info = RunInfo(
        format=FORMAT,
        title=f"{plan.protocol.name}@{plan.protocol.version}",
        state="finished",
        protocol=plan.protocol.as_dict(),
        digest=plan.digest,
        data=DataInfo(name=data.name, faces=len(data.faces), total=data.total, note=data.note),
        scales=plan.scales,
        seed=plan.seed,
        methods=tuple(methods[label] for label in plan.labels),
        metrics={m.name: m.info for m in plan.metrics},
        environment=environment(plan.device),
        faces=tuple(
            FaceInfo(
                name=f.name,
                path=seen_from(plan.out, f.path) if f.sha256 else "",
                sha256=f.sha256,
                attributes=f.attributes,
                landmarks=f.landmarks,
                lr_sha256=f.lr_sha256,
            )
            for f in data.faces
        ),
        shard=plan.shard,
    )
    return replace(info, command=command(info))
