"""``facesr verify``: somebody's submission, checked as a whole and computed again on faces drawn at random; what is found is a record to keep."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from facesr.bench.errors import FaceSRError, some
from facesr.bench.faces import Face
from facesr.bench.reading import read_bytes
from facesr.bench.registry import MethodSpec
from facesr.bench.results import WHOLE_SET, Run
from facesr.bench.results.cells import Cells, ScoreCell
from facesr.bench.results.run import known_cells
from facesr.bench.results.sums import SUMS
from facesr.bench.run.plan import MetricPlan
from facesr.bench.verify import again, sampling, structure
from facesr.bench.verify.compare import Difference, Same, cell_words, same_cells
from facesr.bench.verify.material import Material, gather_material, runnable_methods

OPEN = (
    "Not to be found by any recomputing: times, which cannot be measured again; whether a method that is not here made the images that it is said to "
    "have made (only its scores follow from its images); seeds that were chosen because they did well."
)


@dataclass(frozen=True)
class Record:
    """What a check found. ``findings``: what is wrong. ``remarks``: what could not be checked, or had to be believed.

    ``bundle``: sha256 of its ``SHA256SUMS`` (of ``run.json`` where it has none), so that the record belongs to these very files. ``seed`` draws
    ``drawn`` again. ``scores``, ``images``: how many of each were computed again, by how far they agree.
    """

    title: str
    digest: str
    bundle: str
    methods: tuple[str, ...]
    findings: tuple[str, ...]
    remarks: tuple[str, ...]
    drawn: tuple[str, ...] = ()
    seed: int | None = None
    scores: dict[str, int] | None = None
    images: dict[str, int] | None = None
    power: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.findings:
            return f"{len(self.findings)} finding{'s' if len(self.findings) > 1 else ''}: this is not the run it says it is, or not all of it."
        if self.scores is None:
            return "Files, digest, protocol, grid and tables go together; no score was computed again (--sample 1%)."
        n = sum(self.scores.values())
        return f"Nothing is wrong: {n:,} scores and {sum((self.images or {}).values()):,} images were computed again and agree."

    def as_json(self) -> str:
        """For a file beside the bundle."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def verify_run(
    run: Run, sample: str = "", *, data: str | None = None, asked: Sequence[MethodSpec] = (), seed: int | None = None,
    tick: again.Tick = lambda what, done, total: None,
) -> Record:  # fmt: skip
    """Check a run folder (or an opened bundle).

    ``sample``: faces to compute again, ``1%``, a number, or ``all``; '' for none. Scores come from the images handed in; images from the methods that
    are installed here or named in ``asked``. ``data``: HR, in place of the data set that the protocol names. ``seed``: draws the same faces as an
    earlier check; without it nobody can foresee them.
    """
    material = gather_material(run, data)
    found = [*structure.run_problems(run, material), *material.findings]
    said = [*structure.run_remarks(run, material), *material.remarks]
    record = Record(run.info.title, run.digest, bundle_identity(run), tuple(run.methods), tuple(found), (*said, OPEN))
    if not sample:
        return record
    number = sampling.sample_size(sample, len(run.faces))
    have = {f.name: f for f in material.faces}
    if not have:
        raise FaceSRError(f"{run.path}: no HR of its faces is here, so no score can be computed again: name the folder with --data")
    seed, drawn = sampling.draw_faces([f.name for f in run.faces], number, seed)
    faces = [have[name] for name in drawn if name in have]
    with tempfile.TemporaryDirectory(prefix="facesr-verify-") as place:
        wrong = again.lr_problems(run, material, faces, Path(place) / "lr")
        found += [f"{len(wrong):,} LR images are not what the protocol makes of HR ({some(wrong, 3)})"] if wrong else []
        scores = _scores(run, material, faces, Path(place), found, tick)
        images = _images(run, material, faces, asked, Path(place) / "images", found, said, tick)
    return Record(
        run.info.title, run.digest, bundle_identity(run), tuple(run.methods), tuple(found), (*said, OPEN), drawn, seed, dict(scores), dict(images),
        sampling.sample_power(len(run.faces), len(faces)),
    )  # fmt: skip


def bundle_identity(run: Run) -> str:
    """sha256 of ``SHA256SUMS``, or of ``run.json`` where a run has none: which files a record is of."""
    file = run.path / SUMS
    return hashlib.sha256(read_bytes(file if file.is_file() else run.path / "run.json")).hexdigest()


def _scores(run: Run, material: Material, faces: Sequence[Face], place: Path, found: list[str], tick: again.Tick) -> Counter[str]:
    """Scores of the faces drawn, and, since they cannot be sampled, those of the whole set."""
    single = [m for m in material.metrics if not m.of_set]
    sets = [m for m in material.metrics if m.of_set] if len(material.faces) == len(run.faces) and not run.info.shard else []
    parts = [again.rescore_run(run, material, faces, single, place / "scores", tick)]
    parts.append(again.rescore_run(run, material, material.faces, sets, place / "sets", tick))
    cells = [cell for part in parts for cell in part.cells]
    found += dict.fromkeys(problem for part in parts for problem in part.problems)
    counted, wrong = score_agreement(run, cells, material.metrics)
    if wrong:
        found.append(f"{len(wrong):,} scores are not what their images give ({some([str(w) for w in wrong], 3)})")
    return counted


def score_agreement(run: Run, cells: Sequence[ScoreCell], metrics: Sequence[MetricPlan]) -> tuple[Counter[str], list[Difference]]:
    """Cells computed now beside those that were claimed."""
    with Cells(run.path) as held:
        claimed = again.by_place(list(known_cells(run.info, held, ScoreCell)))
    digits = {m.name: m.info.digits for m in metrics}
    counted: Counter[str] = Counter()
    wrong = []
    for place, cell in again.by_place(cells).items():
        before = claimed.get(place)
        same = same_cells(before, cell, digits[cell.metric]) if before is not None else Same.OTHER
        counted[str(same)] += 1
        if same is Same.OTHER:
            method, scale, metric, image = place
            where = f"{metric} of {method} ×{scale}, {'the whole set' if image == WHOLE_SET else image}"
            wrong.append(Difference(where, cell_words(before) if before else "nothing", cell_words(cell)))
    return counted, wrong


def _images(
    run: Run,
    material: Material,
    faces: Sequence[Face],
    asked: Sequence[MethodSpec],
    out: Path,
    found: list[str],
    said: list[str],
    tick: again.Tick,
) -> Counter[str]:
    """Images of the methods that can be run here, made again."""
    specs, why = runnable_methods(run, asked)
    said += [f"{label}: its images were not made again: {reason}" for label, reason in why.items()]
    counted: Counter[str] = Counter()
    if not specs or not faces:
        return counted
    made = again.restore_again(run, material, faces, list(specs.values()), (), out, tick)
    wrong: dict[str, list[str]] = {}
    lost: dict[str, list[str]] = {}
    for method, scale, face, same in again.compare_images(run, made):
        if isinstance(same, Same):
            counted[str(same)] += 1
            if same is Same.OTHER:
                wrong.setdefault(method, []).append(f"{face} ×{scale}")
        elif same.startswith("could not be made"):
            lost.setdefault(f"{method}: {same}", []).append(face)
        else:
            wrong.setdefault(method, []).append(f"{face} ×{scale} {same}")
    said += [f"{what} ({len(names):,} faces)" for what, names in lost.items()]
    found += [
        f"{len(names):,} images are not what {method} makes of their LR ({some(names, 3)})" for method, names in wrong.items()
    ]
    for label, what in _unlike(run, made):
        said.append(f"{label} was run with {what}")
        if what == WEIGHTS and label not in wrong and not any(key.startswith(f"{label}:") for key in lost):
            found.append(f"{label}: its images come from the weights that are here, and not from those that it names")
    return counted


WEIGHTS = "other weights than those here"


def _unlike(run: Run, made: Run) -> Iterator[tuple[str, str]]:
    """Methods whose weights or code differ from those here: why their images may."""
    ours = {m.label: m for m in made.info.methods}
    for info in run.info.methods:
        mine = ours.get(info.label)
        if mine is None:
            continue
        if sorted(info.weights.values()) != sorted(mine.weights.values()):
            yield info.label, WEIGHTS
        if info.code != mine.code:
            yield info.label, "another version of its code"
