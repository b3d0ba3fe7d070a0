"""What a study is: the frozen design, its digest, its analysis plan, and the plan of trials that follows from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from facesr.bench.errors import FaceSRError, suggest
from facesr.bench.study.order import Carry, Trial, condition_sequences, insert_repeats, pair_sequences, scatter, subsets, weave

FORMAT = 1
METHODS = ("acr", "acr-hr", "pair")
ANCHORS = ("anchor_low", "anchor_high")
RATED = ("main", "repeat", "gold", "attention")
KINDS = ("main", "anchor_low", "anchor_high", "repeat", "gold", "attention")

ANALYSIS: dict[str, Any] = {
    "primary": "two-way clustered t-test of MOS differences, over raters and faces",
    "also": [
        "Mann-Whitney U on pooled ratings (as published papers do; not valid for new raters or faces)",
        "Wilcoxon on rater means",
    ],
    "alpha": 0.01,
    "correction": "holm",
    "screening": "none",
    "equivalence_margin": 0.1,
    "exclude_raters": "more than half of the attention items wrong",
}
"""What will be computed, written down before the first rating. ``--analysis FILE.toml`` replaces entries."""


@dataclass(frozen=True)
class Stimulus:
    """One PNG of the study. ``name`` is opaque: it tells neither face nor condition. ``consistency``: MSE of D(image) against LR."""

    name: str
    face: str
    condition: str
    sha256: str
    width: int
    height: int
    consistency: float | None = None
    flag: str = ""


@dataclass(frozen=True)
class Design:
    """A study's design. Frozen when the study is made: any later change of a value changes the digest and is refused.

    ``faces_per_rater``: 0 means all. ``pairs_per_face`` counts for paired comparison only. ``zoom``: CSS pixels an image pixel should
    cover; on the screen it becomes the nearest whole number of device pixels. ``session_minutes``: work without a rest, 0 for no limit.
    """

    name: str
    method: str
    conditions: list[str]
    faces: list[str]
    low_faces: list[str]
    high_faces: list[str]
    gold_faces: list[str]
    raters: int
    seed: int
    created: str
    faces_per_rater: int = 0
    pairs_per_face: int = 3
    ties: bool = False
    scale: list[int] = field(default_factory=lambda: [1, 5])
    repeats: int = 0
    gold: int = 0
    attention: int = 0
    gap: int = 12
    break_every: int = 60
    session_minutes: float = 30.0
    rest_minutes: float = 5.0
    zoom: float = 2.0
    fractional: str = "record"
    epsilon: float = 1e-3
    outside_epsilon: str = "flag"
    join: str = "invited"
    completion_url: str = ""
    completion_code: str = ""
    contact: str = ""
    stop_raters: int = 0
    run: dict[str, Any] = field(default_factory=dict)
    analysis: dict[str, Any] = field(default_factory=lambda: dict(ANALYSIS))
    stimuli: list[Stimulus] = field(default_factory=list)

    @property
    def per_rater(self) -> int:
        """Faces each rater sees."""
        return self.faces_per_rater or len(self.faces)

    @property
    def raters_to_finish(self) -> int:
        """The stopping rule: means stay hidden until this many people have finished."""
        return self.stop_raters or self.raters

    def problems(self) -> list[str]:
        """Everything that is wrong with the design, one sentence each; empty when it can be run."""
        found = []
        choices = {
            "method": METHODS,
            "fractional": ("record", "refuse"),
            "outside_epsilon": ("flag", "refuse"),
            "join": ("invited", "prolific", "mturk", "open"),
        }
        for key, known in choices.items():
            value = str(getattr(self, key))
            if value not in known:
                found.append(f"{key.replace('_', ' ')} {value!r} is unknown: {suggest(value, known)}")
        if self.method == "acr-hr" and "hr" not in self.conditions:
            found.append("ACR with hidden reference needs the condition 'hr': add it to --conditions")
        if len(self.conditions) < 2 or len(set(self.conditions)) < len(self.conditions):
            found.append(f"a study compares at least two different conditions, not {', '.join(self.conditions) or 'none'}")
        if len(self.scale) != 2 or not 0 <= self.scale[0] < self.scale[1] <= 9:
            found.append(f"scale {self.scale} is not of the form [1, 5] with single-digit ends: one key a grade")
        for key, least in {"raters": 1, "zoom": 0.5, "gap": 0, "repeats": 0, "gold": 0, "attention": 0, "break_every": 0}.items():
            if getattr(self, key) < least:
                found.append(f"{key.replace('_', ' ')} {getattr(self, key)} is too small: at least {least}")
        if not 0 <= self.faces_per_rater <= len(self.faces):
            found.append(f"a rater cannot see {self.faces_per_rater} of {len(self.faces)} faces")
        if self.gold and not self.gold_faces:
            found.append("gold items need faces outside the main set, and there are none left")
        return found

    def rows(self) -> list[list[Trial]]:
        """The plan: for each of ``raters`` rows, the trials in order of presentation. A pure function of the design."""
        rng = np.random.default_rng(self.seed)
        carry = Carry()
        partial = self.per_rater < len(self.faces)
        hands = (
            subsets(len(self.faces), self.per_rater, self.raters, rng) if partial else [np.arange(len(self.faces))] * self.raters
        )
        return [self._row(r, [self.faces[f] for f in hands[r]], rng, carry) for r in range(self.raters)]

    def _row(self, rater: int, hand: list[str], rng: np.random.Generator, carry: Carry) -> list[Trial]:
        carry.last = None
        if self.method == "pair":
            sequences = pair_sequences(len(hand), self.conditions, self.pairs_per_face, rater, rng)
        else:
            sequences = condition_sequences(len(hand), self.conditions, rater)
        trials = []
        for k, label in weave(sequences, self.gap, rng, carry):
            condition, _, other = label.partition("|")
            trials.append(Trial("main", hand[k], condition, other))
        trials = insert_repeats(trials, self.repeats, self.gap, rng)
        trials = scatter(trials, self._checks(rng), rng)
        return self._anchors(rng) + trials

    def _anchors(self, rng: np.random.Generator) -> list[Trial]:
        low, high = self.scale
        anchors = [Trial("anchor_low", face, "nearest", low=low, high=low) for face in self.low_faces]
        anchors += [Trial("anchor_high", face, "hr", low=high, high=high) for face in self.high_faces]
        return [anchors[i] for i in rng.permutation(len(anchors))]

    def _checks(self, rng: np.random.Generator) -> list[Trial]:
        low, high = (1, 2) if self.method == "pair" else self.scale
        checks = []
        for k in range(self.gold):
            face = self.gold_faces[k % len(self.gold_faces)]
            if self.method == "pair":
                left, right = ("hr", "nearest") if rng.integers(2) else ("nearest", "hr")
                right_answer = 1 if left == "hr" else 2
                checks.append(Trial("gold", face, left, right, low=right_answer, high=right_answer))
            elif k % 2:
                checks.append(Trial("gold", face, "hr", low=high - 1, high=high))
            else:
                checks.append(Trial("gold", face, "nearest", low=low, high=low + 1))
        for _ in range(self.attention):
            wanted = int(rng.integers(low, high + 1))
            checks.append(Trial("attention", low=wanted, high=wanted))
        return checks

    def stimulus(self, face: str, condition: str) -> Stimulus | None:
        """The stimulus of a face in a condition, or None."""
        return self._index.get((face, condition))

    @property
    def _index(self) -> dict[tuple[str, str], Stimulus]:
        cached: dict[tuple[str, str], Stimulus] | None = self.__dict__.get("_cached_index")
        if cached is None:
            cached = {(s.face, s.condition): s for s in self.stimuli}
            object.__setattr__(self, "_cached_index", cached)
        return cached

    def needed(self) -> list[tuple[str, str]]:
        """Every (face, condition) that some trial may show, in a fixed order."""
        wanted = [(f, c) for f in self.faces for c in self.conditions]
        wanted += [(f, "nearest") for f in self.low_faces] + [(f, "hr") for f in self.high_faces]
        if self.gold:
            wanted += [(f, c) for f in self.gold_faces for c in ("nearest", "hr")]
        return list(dict.fromkeys(wanted))


def canonical(value: Any) -> bytes:
    """The bytes a digest is taken over: JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def plan_digest(rows: list[list[Trial]]) -> str:
    """sha256 over the whole plan."""
    return hashlib.sha256(canonical([[asdict(t) for t in row] for row in rows])).hexdigest()


def to_json(design: Design, plan: str) -> dict[str, Any]:
    """The content of ``study.json``: the design, the plan's digest, and a digest over both."""
    content = {"format": FORMAT, "kind": "study", **asdict(design), "plan_sha256": plan}
    return {**content, "digest": hashlib.sha256(canonical(content)).hexdigest()}


def from_json(content: Mapping[str, Any], where: Path) -> Design:
    """Read a design back; a changed design is refused, because its ratings would no longer be ratings of it."""
    if content.get("format") != FORMAT:
        raise FaceSRError(f"{where} has layout version {content.get('format')}, this facesr reads {FORMAT}: make the study again")
    rest = {k: v for k, v in content.items() if k != "digest"}
    if hashlib.sha256(canonical(rest)).hexdigest() != content.get("digest"):
        raise FaceSRError(f"{where} was changed after it was frozen: its digest no longer fits; put the original back")
    known = {f.name for f in fields(Design)}
    values = {k: v for k, v in rest.items() if k in known}
    values["stimuli"] = [Stimulus(**s) for s in rest["stimuli"]]
    return Design(**values)
