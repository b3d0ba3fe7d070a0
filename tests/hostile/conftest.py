"""A process of its own for what is measured, and the table of counts at the end."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hostile import campaign


@pytest.fixture(scope="session")
def fresh() -> Iterator[ProcessPoolExecutor]:
    """A process of its own, so that the memory it takes is the campaign's and not that of the tests before it."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A campaign is bounded in processor time by its own limits; a busy machine may take longer by the clock."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(1800))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Kind, tried, ended well."""
    if campaign.COUNTS:
        terminalreporter.section("hostile input: tried, ended well")
        for line in campaign.table(campaign.COUNTS):
            terminalreporter.line(line)
