"""Attribute agreement: does a restored face still show the attribute (gender, glasses, group) that its person is known to have?

No classifier of attributes comes along, and none is needed: a linear probe on a recogniser's embeddings is fitted to HR faces of the data at
hand and the values that are given of them, and reads SR faces of people it was not fitted to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from facesr.bench.errors import FaceSRError
from facesr.bench.faces import F64, Face
from facesr.bench.metrics.base import NoScore, SetScore
from facesr.bench.metrics.recognition import Rate, _Recognition, share_of
from facesr.bench.results.status import Status

FOLDS, RIDGE = 5, 1.0
FEWEST = 10
"""People that a value of the attribute needs to be read at all."""
MOST_VALUES = 8
READABLE = 0.8
"""Share of HR faces (mean over the values) that the probe must read right before SR is judged by it."""


def probed(train: F64, values: Sequence[str], test: F64) -> list[str]:
    """What a probe fitted to ``train`` (n, d) and its ``values`` reads in ``test`` (m, d): ridge regression on the values' indicators, faces weighted
    so that each value counts the same, the greatest wins."""
    names = sorted(set(values))
    which = np.array([names.index(v) for v in values])
    weight = 1.0 / np.bincount(which)[which]
    x, y = np.c_[train, np.ones(len(train))], np.eye(len(names))[which]
    scaled = x * (weight * len(train) / len(names))[:, None]
    answer = np.linalg.solve(scaled.T @ x + RIDGE * np.eye(x.shape[1]), scaled.T @ y)
    return [names[i] for i in (np.c_[test, np.ones(len(test))] @ answer).argmax(1)]


def kept_share(sr: Any, hr: Any, values: Sequence[str], persons: Sequence[str]) -> Rate:
    """Share of SR faces in which the probe reads the given value, of the faces whose HR it reads right; Wilson's interval.

    ``sr``, ``hr``: embeddings (n, d) of the same faces; ``values``: of the attribute, '' where unknown; no person is in the fit that reads it.
    Raises ``FaceSRError`` where there is nothing to agree about, or the probe cannot read the attribute in HR.
    """
    people: dict[str, set[str]] = defaultdict(set)
    for value, person in zip(values, persons, strict=True):
        people[value].add(person)
    people.pop("", None)
    if not people:
        raise FaceSRError("no face has it: give it with --attributes, a CSV with a column of that name")
    if len(people) > MOST_VALUES:
        raise FaceSRError(f"it has {len(people)} values here, more than {MOST_VALUES}: give it in bands")
    known = {value for value, who in people.items() if len(who) >= FEWEST}
    if len(known) < 2:
        counts = ", ".join(f"{value} {len(who)}" for value, who in sorted(people.items()))
        raise FaceSRError(f"a probe needs two values of {FEWEST} people each, these faces have {counts}")
    keep = [i for i, value in enumerate(values) if value in known]
    given = np.array([values[i] for i in keep])
    who = [persons[i] for i in keep]
    order = {
        person: k % FOLDS for k, person in enumerate(sorted(set(who), key=lambda p: (min(v for v in known if p in people[v]), p)))
    }
    fold = np.array([order[person] for person in who])
    x, y = np.asarray(hr, np.float64)[keep], np.asarray(sr, np.float64)[keep]
    in_hr, in_sr = np.empty(len(keep), object), np.empty(len(keep), object)
    for k in range(FOLDS):
        here = fold == k
        read = probed(x[~here], list(given[~here]), np.r_[x[here], y[here]])
        in_hr[here], in_sr[here] = read[: here.sum()], read[here.sum() :]
    right = in_hr == given
    readable = float(np.mean([right[given == value].mean() for value in sorted(known)]))
    if readable < READABLE:
        raise FaceSRError(
            f"the probe reads it right in {readable:.0%} of HR faces (mean over its values), below {READABLE:.0%}: SR is not judged by it"
        )
    return share_of(in_sr[right] == given[right])


class AttributeAgreement(_Recognition):
    """How often a known attribute is still read in SR, by a probe on SFace's embeddings fitted to the HR faces of other people."""

    kind, title = "attribute-agreement", "Attribute kept"
    footnote = (
        f"a linear probe on embeddings (ridge, {FOLDS} folds by person) is fitted to HR faces and the given values, and reads SR; share of SR faces "
        f"read as given, of those whose HR is; Wilson interval; refused where HR itself is read right below {READABLE:.0%}"
    )
    source = "linear probe (Alain and Bengio 2016) on SFace"

    def __init__(self, *, attribute: str = "gender", network: str = "sface", align: str = "hr-landmarks") -> None:
        super().__init__(network, align=align)
        self.attribute = attribute
        self.name = f"{self.kind}-{self.recogniser.suffix}[{attribute}]"
        self.label = f"{self.title}: {attribute} ({self.recogniser.network.label} probe)"

    def compare(self, sr: Sequence[Any], hr: Sequence[Any], faces: Sequence[Face]) -> SetScore | NoScore:
        values = [face.attributes.get(self.attribute, "") for face in faces]
        persons = [face.attributes.get("person") or face.name for face in faces]
        try:
            rate = kept_share(np.stack(sr), np.stack(hr), values, persons)
        except FaceSRError as error:
            return NoScore(Status.SKIPPED, f"attribute {self.attribute}: {error}")
        return SetScore(rate.value, rate.n, rate.low, rate.high)
