"""The one loader of configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from annotated_types import Interval

from facesr.bench.config import BadValue, Count, OneOf, Probability, Text, from_table
from facesr.bench.errors import FaceSRError
from facesr.bench.reading import parse_toml


@dataclass(frozen=True)
class Net:
    norm: Literal["batch", "instance", "none"] = "batch"
    width: Count = 64


@dataclass(frozen=True)
class Rule:
    name: Annotated[str, OneOf(lambda: ["attention", "pace"])]
    limit: float = 0.5


@dataclass(frozen=True)
class Whole:
    title: Text
    alpha: Probability = 0.05
    scale: tuple[Annotated[int, Interval(ge=1, le=64)], ...] | Annotated[int, Interval(ge=1, le=64)] = (8,)
    quantize: bool = True
    net: Net = field(default_factory=Net)
    rules: tuple[Rule, ...] = ()
    low: float = 0.0
    high: float = 1.0
    note: str | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise BadValue(f"low {self.low:g} is not below high {self.high:g}")


def problem(table: dict[str, object]) -> str:
    with pytest.raises(FaceSRError) as caught:
        from_table(Whole, table, "x.toml")
    return str(caught.value)


def test_a_good_table_is_a_dataclass() -> None:
    text = 'title = "t"\nscale = [4, 8]\nlow = 0\n[net]\nnorm = "none"\n[[rules]]\nname = "pace"\n'
    made = from_table(Whole, parse_toml(text, "x.toml"), "x.toml")
    assert made == Whole("t", scale=(4, 8), net=Net("none"), rules=(Rule("pace"),))
    assert from_table(Whole, {"title": "t", "scale": 4}, "x").scale == 4


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "'title' is missing"),
        ({"title": ""}, "'title' is '': must not be empty"),
        ({"title": "t", "alpah": 0.1}, "unknown key 'alpah': did you mean 'alpha'?"),
        ({"title": "t", "alpha": 5}, "'alpha' is 5: must be below 1"),
        ({"title": "t", "alpha": True}, "'alpha' is true: must be a number"),
        ({"title": "t", "alpha": "0.05"}, "'alpha' is '0.05': must be a number"),
        ({"title": "t", "alpha": float("nan")}, "must be a finite number"),
        ({"title": "t", "quantize": 1}, "'quantize' is 1: must be true or false"),
        ({"title": "t", "net": {"norm": "instnce"}}, "'net.norm' is 'instnce': did you mean 'instance'?"),
        ({"title": "t", "net": {"nrom": "batch"}}, "unknown key 'net.nrom': did you mean 'norm'?"),
        ({"title": "t", "net": {"width": 0}}, "'net.width' is 0: must be at least 1"),
        ({"title": "t", "net": {"width": 1.5}}, "'net.width' is 1.5: must be a whole number"),
        ({"title": "t", "net": 3}, "'net' is 3: must be a table"),
        ({"title": "t", "rules": [{"name": "pace"}, {"name": "pase"}]}, "'rules.2.name' is 'pase': did you mean 'pace'?"),
        ({"title": "t", "rules": [{"limit": 1}]}, "'rules.1.name' is missing"),
        ({"title": "t", "scale": [8, 65]}, "'scale.2' is 65: must be at most 64"),
        ({"title": "t", "low": 2}, "low 2 is not below high 1"),
        ({"title": "t", "note": 3}, "'note' is 3: must be text in quotes"),
    ],
)
def test_what_is_wrong_is_said(table: dict[str, object], said: str) -> None:
    assert said in problem(table)
    assert problem(table).startswith("x.toml: ")


def test_all_problems_come_together() -> None:
    said = problem({"titel": "t", "alpha": 2, "net": {"norm": "btch"}})
    assert "4 problems:" in said
    assert said.count("\n  - ") == 4


def test_what_the_caller_found_is_listed_too() -> None:
    with pytest.raises(FaceSRError, match="x: 2 problems"):
        from_table(Whole, {}, "x", ["too late"])
    with pytest.raises(FaceSRError, match="x: too late"):
        from_table(Whole, {"title": "t"}, "x", ["too late"])


def test_text_that_is_no_toml_gets_a_sentence() -> None:
    with pytest.raises(FaceSRError, match=r"x\.toml: not valid TOML"):
        parse_toml("a = ", "x.toml")
