"""What every page looks at: the runs chosen, narrowed by the controls in the sidebar. All of it is in the address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import streamlit as st

from facesr.bench.errors import FaceSRError
from facesr.dashboard.address import CONTROL, check_address, choose_option, segments, several
from facesr.dashboard.memo import memo
from facesr.dashboard.sources import Catalogue, Group
from facesr.reports.build import attribute_names, bands, faces_where
from facesr.reports.figures import MethodStyle
from facesr.reports.gather import ATTRIBUTE_VALUES, headline
from facesr.reports.scores import Scores

T = TypeVar("T")
EVERYONE = "all faces"


@dataclass(frozen=True)
class Scene:
    """Scores in view. ``name`` is what tells one view of the same files from another."""

    group: Group
    name: tuple[object, ...] = ()

    @cached_property
    def whole(self) -> Scores:
        """Every cell of the runs."""
        return self.group.scores()

    @cached_property
    def scores(self) -> Scores:
        """The cells in view."""
        if not self.name:
            return self.whole
        return self.kept("scores", lambda: _narrowed(self.whole, *self.name))  # type: ignore[arg-type]

    @property
    def look(self) -> MethodStyle:
        """Colours by the runs' own order: a method keeps its colour when others are hidden."""
        return MethodStyle(self.whole.methods)

    def kept(self, what: object, make: Callable[[], T]) -> T:
        """Computed once for these files and this view."""
        return memo.get((what, self.group.key, self.group.stamp, self.name), make)

    def single_metrics(self, scores: Scores) -> list[str]:
        """Metrics of single images that have any value, in order."""
        return self.kept("singles", lambda: [m for m in scores.metrics if not scores.is_set_metric(m) and scores.cells_known(m)])


def _narrowed(scores: Scores, methods: tuple[str, ...], attribute: str, value: str) -> Scores:
    chosen = scores.only(methods=methods) if methods else scores
    return faces_where(chosen, **{attribute: value}) if attribute else chosen


def in_view(catalogue: Catalogue) -> Scene | None:
    """The controls in the sidebar; None where there is no run to show."""
    if not catalogue.groups:
        return None
    with st.sidebar:
        named = catalogue.named
        names = list(named)
        if len(names) > 1:
            group = named[choose_option("Runs", names, "run", what="run", width=CONTROL)]
        else:
            check_address("run", names, "run")
            group = catalogue.groups[0]
        scene = Scene(group)
        methods = _methods(scene.whole)
        attribute, value = _faces(scene)
    if not methods and not attribute:
        return scene
    return Scene(group, (methods, attribute, value))


def _methods(scores: Scores) -> tuple[str, ...]:
    """Methods chosen; () for all."""
    if len(scores.methods) < 2:
        check_address("methods", scores.methods, "method")
        return ()
    return tuple(several("Methods", scores.methods, "methods"))


def filters(scene: Scene) -> dict[str, list[str]]:
    """Attributes with few values, and those values."""

    def find() -> dict[str, list[str]]:
        found = {a: list(bands(scene.whole, a)) for a in attribute_names(scene.whole)}
        return {a: values for a, values in found.items() if 1 < len(values) <= ATTRIBUTE_VALUES}

    return memo.get(("filters", scene.group.key, scene.group.stamp), find)


def _faces(scene: Scene) -> tuple[str, str]:
    """An attribute and its value, or two empty texts for every face."""
    known = filters(scene)
    pairs = {EVERYONE: ("", ""), **{f"{a}: {v}": (a, v) for a, values in known.items() for v in values}}
    if not known:
        check_address("where", pairs, "group of faces")
        return "", ""
    return pairs[choose_option("Faces", list(pairs), "where", what="group of faces")]


def metric_control(scores: Scores, metrics: Sequence[str], key: str = "metric", label: str = "Metric") -> str:
    """Choose one metric; the headline one first shown."""
    if not metrics:
        raise FaceSRError("no metric of single images has a value in this view: let the run go on, or choose other faces")
    return choose_option(label, metrics, key, first=headline(scores), what="metric")


def scale_control(scores: Scores, key: str = "scale") -> float:
    """Choose a downscaling factor, where there are several."""
    if len(scores.scales) < 2:
        check_address(key, scores.scales, "factor")
        return scores.scales[0]
    return segments("Factor", scores.scales, key, first=scores.scales[0])
