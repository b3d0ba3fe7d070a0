"""What a study is: the frozen design, its digest, its analysis plan, and the plan of trials that follows from them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import numpy as np
from annotated_types import Ge, Interval, Len

from facesr.bench.config import BadValue, Natural, Text, from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.study.order import Carry, Trial, condition_sequences, insert_repeats, pair_sequences, scatter, subsets, weave
from facesr.bench.study.plan import AnalysisPlan, read_frozen
from facesr.bench.study.questions import Question
from facesr.bench.study.wording import Texts

FORMAT = 2
FORMATS = (1, FORMAT)
"""Layouts of ``study.json`` that can be read; the newest is written. Layout 1 had no texts, and its plan was partly sentences."""

MOST_TRIALS = 2_000_000
"""Trials of a whole plan: a larger number is a slip of the pen."""

Few = Annotated[int, Interval(ge=0, le=1000)]
Minutes = Annotated[float, Interval(ge=0, le=1440)]
Address = Annotated[str, Len(0, 500)]


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

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{32}", self.name):  # it names a file, and may come from a stranger
            raise BadValue(f"{self.name[:60]!r} is no name of a stimulus: it is 32 hexadecimal digits")


@dataclass(frozen=True)
class PastStudy:
    """An earlier study whose raters may not take part in this one."""

    name: str
    digest: str


@dataclass(frozen=True)
class Design:
    """A study's design. Frozen when the study is made: any later change of a value changes the digest and is refused.

    ``faces_per_rater``: 0 means all. ``pairs`` and ``pairs_per_face`` count for paired comparison only. ``zoom``: CSS pixels an image pixel
    should cover; on the screen it becomes the nearest whole number of device pixels. ``session_minutes``: work without a rest, 0 for no limit.
    ``reserve_minutes``: how long a crowd worker's place is kept without an answer. ``spares``: how many finished raters, left out by the
    plan's rules, may be replaced by new ones. ``texts``: everything raters read, by language. ``past``: studies whose raters are sent away.

    Before rating: ``questionnaire``; ``screen``: checks of display and sight; ``screen_failed``: what becomes of someone who fails colour
    plates or acuity; ``distance_cm``: how far the rater is asked to sit; ``practice``: images of ``practice_faces`` (HR and nearest neighbour)
    that are graded with feedback and never stored as ratings. After rating: ``comment``, a field for remarks.
    """

    name: Text
    method: Literal["acr", "acr-hr", "pair"]
    conditions: list[str]
    faces: list[str]
    low_faces: list[str]
    high_faces: list[str]
    gold_faces: list[str]
    raters: Annotated[int, Interval(ge=1, le=100_000)]
    seed: Annotated[int, Interval(ge=0, le=2**53)]
    created: str
    faces_per_rater: Natural = 0
    pairs: Literal["balanced", "adaptive"] = "balanced"
    pairs_per_face: Annotated[int, Interval(ge=1, le=1000)] = 3
    ties: bool = False
    scale: list[int] = field(default_factory=lambda: [1, 5])
    repeats: Few = 0
    gold: Few = 0
    attention: Few = 0
    gap: Annotated[int, Interval(ge=0, le=10_000)] = 12
    break_every: Annotated[int, Interval(ge=0, le=100_000)] = 60
    session_minutes: Minutes = 30.0
    rest_minutes: Minutes = 5.0
    zoom: Annotated[float, Interval(ge=0.5, le=32)] = 2.0
    fractional: Literal["record", "refuse"] = "record"
    epsilon: Annotated[float, Ge(0)] = 1e-3
    outside_epsilon: Literal["flag", "refuse"] = "flag"
    join: Literal["invited", "prolific", "mturk", "open"] = "invited"
    reserve_minutes: Annotated[float, Interval(ge=1, le=43_200)] = 60.0
    spares: Annotated[int, Interval(ge=0, le=100_000)] = 0
    completion_url: Address = ""
    full_url: Address = ""
    screened_url: Address = ""
    already_url: Address = ""
    completion_code: Annotated[str, Len(0, 64)] = ""
    contact: Annotated[str, Len(0, 300)] = ""
    questionnaire: list[Question] = field(default_factory=list)
    screen: list[Literal["card", "brightness", "colour", "acuity"]] = field(default_factory=list)
    screen_failed: Literal["record", "refuse"] = "record"
    distance_cm: Annotated[float, Interval(ge=15, le=500)] = 60.0
    practice: Few = 0
    practice_faces: list[str] = field(default_factory=list)
    comment: bool = False
    stop_raters: Natural = 0
    run: dict[str, Any] = field(default_factory=dict)
    analysis: AnalysisPlan = field(default_factory=AnalysisPlan)
    texts: Texts = field(default_factory=dict)
    past: list[PastStudy] = field(default_factory=list)
    stimuli: list[Stimulus] = field(default_factory=list)

    def __post_init__(self) -> None:
        if found := self.problems():
            raise BadValue("; ".join(found))

    @property
    def per_rater(self) -> int:
        """Faces each rater sees."""
        return self.faces_per_rater or len(self.faces)

    @property
    def trials(self) -> int:
        """Rated trials of a session, repeats, gold and attention items left out."""
        return self.per_rater * (self.pairs_per_face if self.method == "pair" else len(self.conditions))

    @property
    def raters_to_finish(self) -> int:
        """The stopping rule: means stay hidden until this many people have finished."""
        rule = self.analysis.stopping
        first = rule.looks[0] if rule.looks else min(8, self.raters) if rule.kind == "always-valid" else 0
        return first or self.stop_raters or self.raters

    def problems(self) -> list[str]:
        """Everything that does not fit together, one sentence each; empty when the study can be run."""
        found = []
        if self.method == "acr-hr" and "hr" not in self.conditions:
            found.append("ACR with hidden reference needs the condition 'hr': add it to --conditions")
        if len(self.conditions) < 2 or len(set(self.conditions)) < len(self.conditions):
            found.append(f"a study compares at least two different conditions, not {', '.join(self.conditions) or 'none'}")
        if len(self.scale) != 2 or not 0 <= self.scale[0] < self.scale[1] <= 9:
            found.append(f"scale {self.scale} is not of the form [1, 5] with single-digit ends: one key a grade")
            return found
        if self.faces_per_rater > len(self.faces):
            found.append(f"a rater cannot see {self.faces_per_rater} of {len(self.faces)} faces")
        if self.gold and not self.gold_faces:
            found.append("gold items need faces outside the main set, and there are none left")
        if self.gold + self.attention > self.trials // 2:
            found.append(
                f"{self.gold} gold and {self.attention} attention items are more than half of the {self.trials} images a rater rates"
            )
        if self.raters * self.trials > MOST_TRIALS:
            found.append(f"{self.raters:,} raters with {self.trials:,} trials each are more than {MOST_TRIALS:,} trials")
        if self.stop_raters > self.raters:
            found.append(
                f"means cannot wait for {self.stop_raters} raters of {self.raters}: give --stop-raters {self.raters} or fewer"
            )
        if self.stop_raters and self.analysis.stopping.kind != "fixed":
            found.append(
                "--stop-raters and a sequential stopping rule exclude each other: the plan's looks say when means are shown"
            )
        if self.pairs == "adaptive" and self.method != "pair":
            found.append("adaptive pairs need --method pair")
        if self.spares and self.join == "invited":
            found.append("spares are for crowds (--join prolific, mturk or open): invited raters are replaced by hand")
        if len(self.texts) != len({k for k, v in self.texts.items() if v}):
            found.append("a language without texts cannot be offered")
        found += self._bad_steps()
        return found + [p for name in URLS if (p := _bad_address(name, getattr(self, name)))] + self._bad_words()

    def _bad_steps(self) -> list[str]:
        """What is wrong with the steps before rating."""
        found = []
        if len(set(self.screen)) < len(self.screen):
            found.append(f"--screen names a check twice: {', '.join(self.screen)}")
        if "acuity" in self.screen and "card" not in self.screen:
            found.append("rings for acuity need the size of the screen: give --screen card,acuity")
        if self.screen_failed == "refuse" and not {"colour", "acuity"} & set(self.screen):
            found.append("--screen-failed refuse needs a check of sight to fail: give --screen with colour, or with card,acuity")
        if self.practice and not self.practice_faces:
            found.append("practice needs faces outside the main set, and there are none left")
        if met := sorted(set(self.practice_faces) & set(self.faces)):
            found.append(f"face {met[0]} is in the main set, so it cannot be practised on: choose other --practice-faces")
        return found

    def _bad_words(self) -> list[str]:
        found = []
        if not _is_origin(self.run):
            found.append("'run' does not say which run the images come from in the form it was written with")
        if self.completion_code and not re.fullmatch(r"[A-Za-z0-9_-]+", self.completion_code):
            found.append(f"completion code {self.completion_code!r} may hold letters, digits, '-' and '_' only")
        if re.search(r"[\x00-\x1f\x7f]", self.contact):
            found.append("contact must be one line without control characters")
        return found

    def rows(self) -> list[list[Trial]]:
        """The plan: for each of ``raters`` rows, the trials in order of presentation. A pure function of the design.

        Empty for adaptive pairs, which are chosen when a rater begins (``adaptive.assign``).
        """
        rng = np.random.default_rng(self.seed)
        if self.pairs == "adaptive":
            self._row(0, self.faces[: self.per_rater], rng, Carry())  # what no row can hold is refused now, not when a rater begins
            return []
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
        trials = scatter(trials, self.checks(rng), rng)
        return self._anchors(rng) + trials

    def _anchors(self, rng: np.random.Generator) -> list[Trial]:
        low, high = self.scale
        anchors = [Trial("anchor_low", face, "nearest", low=low, high=low) for face in self.low_faces]
        anchors += [Trial("anchor_high", face, "hr", low=high, high=high) for face in self.high_faces]
        return [anchors[i] for i in rng.permutation(len(anchors))]

    def checks(self, rng: np.random.Generator) -> list[Trial]:
        """Gold and attention items of one rater."""
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

    def practised(self) -> list[Trial]:
        """The practice images, the same for everyone, with the grades that fit."""
        low, high = self.scale
        rng = np.random.default_rng([self.seed, 5])
        found = []
        for k in range(self.practice):
            face = self.practice_faces[(k // 2) % len(self.practice_faces)]
            best = k % 2 == 1
            if self.method == "pair":
                best = bool(rng.integers(2))
                left, right = ("hr", "nearest") if best else ("nearest", "hr")
                found.append(Trial("practice", face, left, right, low=1 if best else 2, high=1 if best else 2))
            elif best:
                found.append(Trial("practice", face, "hr", low=high - 1, high=high))
            else:
                found.append(Trial("practice", face, "nearest", low=low, high=low + 1))
        return [found[i] for i in rng.permutation(len(found))]

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
        wanted += [(trial.face, c) for trial in self.practised() for c in (trial.condition, trial.other) if c]
        return list(dict.fromkeys(wanted))


def _is_origin(run: Mapping[str, Any]) -> bool:
    """Whether what a study keeps of its run has the form that ``create`` gives it; a study made without a run keeps nothing."""
    scale, notes, lists = run.get("scale"), run.get("notes"), run.get("faces_outside_epsilon")
    return (
        (scale is None or (isinstance(scale, int | float) and 0 <= scale <= 1000))
        and isinstance(run.get("digest", ""), str)
        and isinstance(run.get("left_out", {}), dict)
        and (notes is None or isinstance(notes, dict))
        and (lists is None or (isinstance(lists, list) and all(isinstance(face, str) for face in lists)))
    )


URLS = ("completion_url", "full_url", "screened_url", "already_url")


def _bad_address(name: str, url: str) -> str:
    """What is wrong with an address raters are sent to; '' where nothing is."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not re.search(r"[\s\x00-\x1f\x7f\"<>\\]", url)
    except ValueError:
        good = False
    braces = set(re.findall(r"\{(.*?)\}", url)) - {"code"}
    if not good:
        return f"{name} {url!r} is no web address: write https://host/path"
    return f"{name} has {{{braces.pop()}}}, which nothing fills in: only {{code}} is" if braces else ""


def canonical(value: Any) -> bytes:
    """The bytes a digest is taken over: JSON with sorted keys and no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # a name from a disk of another encoding
        near = ascii(text[max(0, error.start - 12) : error.end + 12])
        raise FaceSRError(
            f"a study cannot hold text that is no Unicode, near {near}: rename the file or folder it comes from"
        ) from None


def plan_digest(rows: list[list[Trial]]) -> str:
    """sha256 over the whole plan."""
    return hashlib.sha256(canonical([[asdict(t) for t in row] for row in rows])).hexdigest()


def design_json(design: Design, plan: str) -> dict[str, Any]:
    """The content of ``study.json``: the design, the plan's digest, and a digest over both."""
    return with_digest({"format": FORMAT, "kind": "study", **asdict(design), "plan_sha256": plan})


def with_digest(description: Mapping[str, Any]) -> dict[str, Any]:
    """A description as JSON holds it, with the digest over all of it."""
    content = json.loads(json.dumps(description))
    return {**content, "digest": hashlib.sha256(canonical(content)).hexdigest()}


def unchanged(content: Mapping[str, Any], where: Path) -> dict[str, Any]:
    """What a ``study.json`` holds besides its digest; a changed one is refused, because its ratings would no longer be ratings of it."""
    if type(content.get("format")) is not int or content["format"] not in FORMATS:  # True is 1
        raise FaceSRError(f"{where} has layout version {content.get('format')!r}, this facesr reads {FORMAT}: make the study again")
    rest = {k: v for k, v in content.items() if k != "digest"}
    if hashlib.sha256(canonical(rest)).hexdigest() != content.get("digest"):
        raise FaceSRError(f"{where} was changed after it was frozen: its digest no longer fits; put the original back")
    return rest


def from_json(content: Mapping[str, Any], where: Path) -> Design:
    """Read a design back; see ``unchanged``."""
    rest = unchanged(content, where)
    values = {k: v for k, v in rest.items() if k not in {"format", "kind", "plan_sha256"}}
    if content["format"] == 1:
        values["analysis"] = asdict(read_frozen(dict(values.get("analysis") or {}), str(where), str(values.get("method"))))
    return from_table(Design, values, str(where))
