"""Making a study from a run: choose faces, copy images under opaque names, check ε, freeze the design, fill the database."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
from annotated_types import Interval
from sqlalchemy import Engine, insert, select

from facesr.bench.config import Natural, from_table
from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.imaging import encode_png, read_lr, read_rgb, resize, resize8, rounded, to_tensor, write_whole
from facesr.bench.results import Run
from facesr.bench.study import address
from facesr.bench.study import tables as t
from facesr.bench.study.choice import Choice, choose_conditions
from facesr.bench.study.database import connect, migrate, now, private, sqlite_url, writing
from facesr.bench.study.design import Design, PastStudy, Stimulus, design_json, plan_digest
from facesr.bench.study.idle import idle
from facesr.bench.study.noted import note_database
from facesr.bench.study.order import Trial
from facesr.bench.study.past import past_json, past_study
from facesr.bench.study.plan import AnalysisPlan, read_plan
from facesr.bench.study.questions import Question, askable, read_questionnaire
from facesr.bench.study.study import Study, load_study
from facesr.bench.study.wording import freeze

if TYPE_CHECKING:
    from facesr.bench.faces import F32, U8

T = TypeVar("T")
MADE = frozenset(
    {
        "faces",
        "stimuli",
        "run",
        "low_faces",
        "high_faces",
        "gold_faces",
        "practice_faces",
        "created",
        "name",
        "texts",
        "past",
        "analysis",
    }
    | {"questionnaire"}
)
DIRECT = frozenset(f.name for f in fields(Design)) - MADE
"""Options handed straight to the design; the others are made from options."""

ELSE = frozenset({"images", "anchors", "face_names", "practice_faces", "scale_factor"}) | frozenset(
    {"analysis", "texts", "languages", "past", "questionnaire", "url"}
)
"""Options that decide what the design holds."""


@dataclass(frozen=True)
class Draw:
    """What must be known before faces are drawn; ``images`` and ``anchors`` are numbers of faces."""

    images: Annotated[int, Interval(ge=1, le=100_000)] = 40
    anchors: Annotated[int, Interval(ge=0, le=1000)] = 20
    scale_factor: Natural = 0
    face_names: list[str] = field(default_factory=list)
    practice_faces: list[str] = field(default_factory=list)


def create(run: Run, folder: Path, *, options: Mapping[str, Any], database: str | None = None) -> Study:
    """Make a study of ``run`` in ``folder`` and return it, frozen.

    ``options``: fields of ``Design``, and ``images`` (faces in the main set), ``anchors`` (of each kind), ``face_names`` (the main set by
    name), ``practice_faces`` (by name; two images of each unless ``practice`` says how many), ``questionnaire`` (a TOML file, or ``standard``),
    ``scale_factor`` (which downscaling of a run with several), ``analysis`` (entries of the plan), ``texts`` (a folder of own wording),
    ``languages`` (those to offer), ``past`` (folders of studies whose raters are sent away), ``url`` (the server's address).
    What is not given comes from the protocol's [study] section. Raises one ``FaceSRError`` naming every problem; then nothing is left on disk.
    """
    if folder.exists():
        raise FaceSRError(f"{folder} exists already: a study is never overwritten; choose another --out, or remove it yourself")
    if database and database.startswith("sqlite"):
        raise FaceSRError(
            f"--database {database!r}: an SQLite study keeps its database in its own folder; --database is for PostgreSQL"
        )
    given = {k: v for k, v in options.items() if v is not None}
    past = [past_study(Path(p)) for p in given.get("past") or ()]
    scale_factor, design = _design(run, folder.name, given, [known.study for known in past])
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.part")
    try:
        (part / "stimuli").mkdir(parents=True)
        design = replace(design, stimuli=_stimuli(run, design, part / "stimuli", scale_factor))
        _check_epsilon(design)
        rows = design.rows()
        info = design_json(design, plan_digest(rows))
        engine = connect(database or sqlite_url((part / "ratings.db").resolve()))
        try:
            fill_database(engine, design, rows, info["digest"])
        finally:
            engine.dispose()
        if database:
            note_database(part, info["digest"], database)
        if given.get("url"):
            address.remember(part, given["url"])
        if past:
            private(part / "past.json", past_json(past))
        (part / "study.json").write_text(json.dumps(info, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return load_study(folder)


def _design(run: Run, name: str, given: Mapping[str, Any], past: list[PastStudy]) -> tuple[float, Design]:
    """The scale factor and the design without its images. Whatever does not depend on the run's faces is checked first, all of it at once."""
    spec = {k: v for k, v in dict(run.protocol.get("study") or {}).items() if v is not None}
    asked = {**spec, **given}
    values = _values(run, asked)
    choice = Choice(values["conditions"], {}, frozenset())
    problems: list[str] = []

    def tried(make: Callable[[], T], instead: T) -> T:
        try:
            return make()
        except FaceSRError as error:
            problems.append(str(error))
            return instead

    drawing = tried(lambda: from_table(Draw, {k: v for k, v in asked.items() if k in _names(Draw)}, "faces"), Draw())
    scale_factor = drawing.scale_factor or run.scales[0]
    if scale_factor not in run.scales:
        problems.append(f"the run has no images at x{scale_factor}: choose from {', '.join(f'x{s}' for s in run.scales)}")
    elif not given.get("conditions"):
        # a limit of the wrong type is the design's to report
        limit = values["epsilon"] if values["outside_epsilon"] == "refuse" and isinstance(values["epsilon"], float) else None
        shown = len(drawing.face_names) or drawing.images
        choice = choose_conditions(
            run, values["conditions"], shown, limit,
            lambda face, condition: _source(run, condition, face, scale_factor).is_file(), _errors(run, scale_factor),
        )  # fmt: skip
        values["conditions"] = choice.conditions
    there = ["hr", *run.methods] if run.has_hr else list(run.methods)
    of_hr = ["gold", "practice", *(["anchors"] if values["method"] != "pair" else [])]  # pairs have no examples
    if not run.has_hr and (extras := [n for n in of_hr if asked.get(n, 20 if n == "anchors" else 0)]):
        problems.append(f"the run has no HR to show: give {' '.join(f'--{n} 0' for n in extras)}")
    if unknown := [c for c in values["conditions"] if c not in there]:
        hint = (
            suggest(unknown[0], there)
            if len(unknown) == 1
            else f"choose --conditions from: {', '.join(there)}, or add them to the run"
        )
        problems.append(f"the run has no method {', '.join(map(repr, unknown))}: {hint}")
    method, join = str(values["method"]), str(values.get("join", "invited"))
    adaptive = values.get("pairs") == "adaptive"
    plain = read_plan({}, "analysis plan", method=method if method == "pair" else "acr", adaptive=adaptive)
    analysis = tried(
        lambda: read_plan(dict(asked.get("analysis") or {}), "analysis plan", method=method, join=join, adaptive=adaptive), plain
    )
    texts = tried(lambda: freeze(Path(asked["texts"]) if asked.get("texts") else None, asked.get("languages")), {"en": {"": ""}})
    questions: list[Question] = tried(lambda: read_questionnaire(asked["questionnaire"]) if asked.get("questionnaire") else [], [])
    spoken = tried(lambda: askable(questions, texts, demanded=asked.get("languages") is not None), list(texts))
    texts = {language: words for language, words in texts.items() if language in spoken}
    tried(lambda: address.checked_url(str(asked.get("url") or address.HERE)), "")
    values |= {
        "questionnaire": [asdict(q) for q in questions],
        "name": name, "created": now(), "texts": texts, "past": [asdict(p) for p in past], "analysis": asdict(analysis),
        "run": _origin(run, choice, scale_factor),
    }  # fmt: skip
    # Twelve trials between two views of a face, or all that few faces allow; a gap asked for is kept or refused.
    few = len(drawing.face_names) or drawing.images
    per_rater = values.get("faces_per_rater")
    values.setdefault("gap", max(0, min(12, (per_rater if isinstance(per_rater, int) and per_rater > 0 else few) - 1)))
    stand_in = [str(k) for k in range(few)]
    if drawing.practice_faces:
        values.setdefault("practice", 2 * len(drawing.practice_faces))
    problems += [f"no option {k!r}: {suggest(k, DIRECT | ELSE)}" for k in given if k not in DIRECT | ELSE]
    problems += [*_plan_problems(analysis, values), *idle(given, values)]
    faces = {"faces": stand_in, "low_faces": [], "high_faces": [], "gold_faces": stand_in[:1], "practice_faces": ["another"]}
    design = from_table(Design, {**values, **faces}, "the study", problems)
    main, rest = _choose_faces(run, choice, drawing, scale_factor, design.seed)
    low, high, gold = _outside(rest, 0 if design.method == "pair" else drawing.anchors, design.gold)
    practised = _practice_faces(
        run, drawing.practice_faces, design.practice, [f for f in rest if f not in {*low, *high, *gold}] or rest
    )
    return scale_factor, replace(design, faces=main, low_faces=low, high_faces=high, gold_faces=gold, practice_faces=practised)


def _origin(run: Run, choice: Choice, scale: float) -> dict[str, Any]:
    """Which run the images come from, what its methods say of themselves (``Method.notes``), and what was left out."""
    found = {"digest": run.digest, "protocol": run.protocol.get("name", ""), "version": run.protocol.get("version"), "scale": scale}
    if said := {m.label: list(m.notes) for m in run.info.methods if m.notes and m.label in choice.conditions}:
        found["notes"] = said
    if choice.left_out or choice.outside:
        found |= {"left_out": choice.left_out, "faces_outside_epsilon": sorted(choice.outside)}
    return found


def _plan_problems(plan: AnalysisPlan, values: Mapping[str, Any]) -> list[str]:
    """What of the plan does not fit the design; values that are wrong themselves are reported by the design."""

    def number(name: str, instead: int) -> int:
        value = values.get(name, instead)
        return value if isinstance(value, int) else instead

    counts = {name: number(name, 0) for name in ("gold", "repeats", "attention")}
    scale = values["scale"]
    ends = (scale[0], scale[1]) if len(scale) == 2 and all(isinstance(v, int) for v in scale) else (0, 9)
    return plan.problems(str(values["method"]), ends, number("raters", 40), counts, adaptive=values.get("pairs") == "adaptive")


def _names(kind: Any) -> set[str]:
    return {f.name for f in fields(kind)}


def _values(run: Run, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the design that were asked for, or follow from the run."""
    rule: dict[str, Any] = dict(run.protocol.get("consistency") or {})
    conditions = [str(c) for c in (asked.get("conditions") or [*(["hr"] if run.has_hr else []), *run.methods])]
    values = {k: v for k, v in asked.items() if k in DIRECT}
    if asked.get("method") == "pair":  # three pairs of a face, or as many as there are
        values.setdefault("pairs_per_face", max(1, min(3, len(conditions) * (len(conditions) - 1) // 2)))
    return values | {
        "conditions": conditions,
        "seed": asked.get("seed", 0),
        "method": asked.get("method", "acr"),
        "raters": asked.get("raters", 40),
        "scale": list(asked.get("scale", [1, 5])),
        "epsilon": asked.get("epsilon", rule.get("epsilon", 1e-3)),
        "outside_epsilon": asked.get("outside_epsilon", rule.get("study", "flag")),
    }


def _choose_faces(run: Run, choice: Choice, drawing: Draw, scale: float, seed: int) -> tuple[list[str], list[str]]:
    """The main set, and the faces left for anchors and gold items: complete faces only, drawn by the seed or given by name.

    Faces that a condition has outside ε are not drawn.
    """
    names = [f.name for f in run.faces]
    lacking = {n: [c for c in choice.conditions if not _source(run, c, n, scale).is_file()] for n in names}
    wanted = drawing.face_names
    if wanted:
        strange = [n for n in wanted if n not in lacking]
        broken = [f"{n} ({', '.join(lacking[n])})" for n in wanted if lacking.get(n)]
        if strange:
            raise FaceSRError(f"the run has no face {strange[0]!r}: {suggest(strange[0], names)}")
        if broken:
            raise FaceSRError(
                f"faces without an image in every condition: {'; '.join(broken[:5])}: finish the run, or leave them out"
            )
        return wanted, [n for n in names if n not in wanted]
    complete = [n for n in names if not lacking[n] and n not in choice.outside]
    images = drawing.images
    if len(complete) < images:
        raise FaceSRError(
            f"{images} images asked for, but only {len(complete)} of the run's {len(names)} faces have an image in every condition: "
            "ask for fewer with --images, or finish the run"
        )
    drawn = np.random.default_rng([seed, 1]).permutation(len(complete))[:images]
    main = [complete[i] for i in sorted(drawn)]
    return main, [n for n in names if n not in set(main)]


def _outside(rest: list[str], anchors: int, gold: int) -> tuple[list[str], list[str], list[str]]:
    """Faces for low anchors, high anchors and gold items, none of them in the main set; own faces for each where there are enough."""
    if anchors > len(rest) or (gold and not rest):
        raise FaceSRError(
            f"{anchors} anchors and {gold} gold items need faces outside the main set, and the run has {len(rest)} left: "
            "ask for fewer with --images, --anchors or --gold"
        )
    low = rest[:anchors]
    high = rest[anchors : 2 * anchors] if len(rest) >= 2 * anchors else low
    after = rest[2 * anchors :]
    return low, high, ((after or rest)[:gold] if gold else [])


def _practice_faces(run: Run, wanted: list[str], practice: int, rest: list[str]) -> list[str]:
    """Faces to practise on: those given by name, else of ``rest``, which has no anchors where there are enough faces."""
    names = [f.name for f in run.faces]
    if strange := [n for n in wanted if n not in names]:
        raise FaceSRError(f"the run has no face {strange[0]!r} to practise on: {suggest(strange[0], names)}")
    return (wanted or rest[: -(-practice // 2)]) if practice else []


def _source(run: Run, condition: str, face: str, scale: float) -> Path:
    """The image as it was measured: what people rate is what has the scores."""
    return run.hr_path(face) if condition == "hr" else run.as_measured(run.sr_path(condition, face, scale))


def _stimuli(run: Run, design: Design, folder: Path, scale: float) -> list[Stimulus]:
    measured = _measured(run, scale)
    found = []
    for face, condition in design.needed():
        lr = read_lr(run.as_measured(run.lr_path(face, scale)))
        side = round(lr.shape[0] * scale)
        made = condition == "nearest" and (condition not in run.methods or not run.sr_path(condition, face, scale).is_file())
        image = resize8(rounded(lr), side, "nearest") if made else read_rgb(_source(run, condition, face, scale))
        if image.shape[:2] != (side, side):
            raise FaceSRError(f"{condition} of face {face} has {image.shape[1]} x {image.shape[0]} pixels, not {side} x {side}")
        # One encoder for all, without text chunks: neither metadata nor the way of compressing tells which method made the image.
        data = encode_png(image)
        name = secrets.token_hex(16)
        write_whole(folder / f"{name}.png", data, sync=False)
        error = measured.get((face, condition))
        if error is None and condition in design.conditions:
            error = consistency(image, lr, run)
        outside = error is not None and error > design.epsilon and condition in design.conditions
        flag = f"outside epsilon: {error:.3g} > {design.epsilon:g}" if outside else ""
        found.append(Stimulus(name, face, condition, hashlib.sha256(data).hexdigest(), image.shape[1], image.shape[0], error, flag))
    return found


def _measured(run: Run, scale: float) -> dict[tuple[str, str], float]:
    """The run's own consistency scores, where it has them: measured on the same saved files."""
    if not (run.path / "scores.parquet").is_file():
        return {}
    table = run.scores()
    table = table[(table["metric"] == "consistency") & (table["scale"] == scale) & (table["image"] != "*") & table["value"].notna()]
    return {(str(i), str(m)): float(v) for i, m, v in zip(table["image"], table["method"], table["value"], strict=True)}


def _errors(run: Run, scale: float) -> Callable[[str, str], float | None]:
    """The error of a (face, condition): the run's own score, else measured on its file; None where there is none."""
    measured = _measured(run, scale)

    def error(face: str, condition: str) -> float | None:
        file = _source(run, condition, face, scale)
        if not file.is_file():
            return None
        known = measured.get((face, condition))
        return known if known is not None else consistency(read_rgb(file), read_lr(run.as_measured(run.lr_path(face, scale))), run)

    return error


def consistency(image: U8, lr: U8 | F32, run: Run) -> float:
    """MSE of D(image) against LR, RGB in [0, 1], by the protocol's own operator. ``image`` (H, W, 3), ``lr`` (h, w, 3), uint8 or unrounded."""
    kernel = str(dict(run.protocol.get("degradation") or {}).get("kernel", "bicubic-matlab"))
    small = resize(to_tensor(image[None]), lr.shape[:2], kernel).double()
    return float(((small - to_tensor(lr[None]).double()) ** 2).mean())


def _check_epsilon(design: Design) -> None:
    outside = [s for s in design.stimuli if s.flag and s.face in set(design.faces)]
    if not outside or design.outside_epsilon == "flag":
        return
    counts = {c: sum(s.condition == c for s in outside) for c in design.conditions}
    listed = ", ".join(f"{c}: {n} of {len(design.faces)}" for c, n in counts.items() if n)
    worst = max(outside, key=lambda s: s.consistency or 0)
    raise FaceSRError(
        f"images do not agree with their LR within epsilon = {design.epsilon:g} ({listed}; worst {worst.face} by {worst.condition}, "
        f"{worst.consistency:.3g}), and this study refuses such images: leave the method out, or show and mark them with "
        "--outside-epsilon flag"
    )


def fill_database(engine: Engine, design: Design, rows: Sequence[Sequence[Trial]], digest: str) -> None:
    """Write stimuli and plan into an empty database."""
    migrate(engine)
    with writing(engine) as connection:
        there = connection.execute(select(t.study.c.name)).scalar_one_or_none()
        if there is not None:
            raise FaceSRError(f"this database already holds the study {there!r}: one study, one database; create another one")
        connection.execute(insert(t.study).values(id=1, name=design.name, digest=digest, created=design.created))
        connection.execute(insert(t.stimulus), [{f.name: getattr(s, f.name) for f in fields(Stimulus)} for s in design.stimuli])
        if trials := [plan_row(design, r, p, trial) for r, row in enumerate(rows) for p, trial in enumerate(row, 1)]:
            connection.execute(insert(t.plan), trials)


def plan_row(design: Design, row: int, position: int, trial: Trial) -> dict[str, Any]:
    left = design.stimulus(trial.face, trial.condition)
    right = design.stimulus(trial.face, trial.other) if trial.other else None
    return {
        "row": row,
        "position": position,
        "kind": trial.kind,
        "face": trial.face,
        "condition": trial.condition,
        "other": trial.other,
        "stimulus": left.name if left else None,
        "other_stimulus": right.name if right else None,
        "low": trial.low,
        "high": trial.high,
    }
