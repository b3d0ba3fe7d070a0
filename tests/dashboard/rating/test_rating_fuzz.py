"""Property-based requests made from the API's own OpenAPI description: no answer is a server error, and all are as described."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from fake_study import small_study

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # schemathesis' own imports warn about what they import
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from facesr.bench.study import store
from facesr.dashboard.rating.api import Limits, rating_api
from facesr.dashboard.rating.limits import Limiter

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The schema of an API whose rater has a token; the study is open, so that joining is tried too."""
    study = small_study(
        tmp_path_factory.mktemp("fuzz"), join="open", raters=3, questionnaire="standard", screen=["card"], practice=1, comment=True
    )
    free = Limiter(1e9, 1e9)
    app = rating_api(study, Limits(free, free, free))
    _, token = store.seat_rater(study.engine, rows=3)
    store.consent(study.engine, store.by_token(study.engine, token), "en")  # type: ignore[arg-type]
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    schema.token = token  # type: ignore[attr-defined]
    yield schema
    study.close()


def attack(described: Any, examples: int, token: str | None) -> set[str]:
    """Send ``examples`` requests to each operation; returns the operations tried."""
    tried = set()
    for result in described.get_all_operations():
        operation = result.ok()

        @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the client library's, about itself
                case.call_and_validate(checks=CHECKS, headers={"Authorization": f"Bearer {token}"} if token else {})

        send()
        tried.add(operation.label)
    return tried


OPERATIONS = {
    "GET /texts", "POST /join", "GET /session", "POST /consent", "GET /stimuli/{name}", "GET /done", "PUT /ratings/{position}", "POST /events",
    "POST /withdraw", "POST /screened", "POST /answers",
}  # fmt: skip


def test_no_request_breaks_the_api(described: Any) -> None:
    """With a valid token, so that the requests reach the code behind the door; and without one."""
    assert attack(described, 20, described.token) == OPERATIONS
    assert attack(described, 8, None) == OPERATIONS


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_no_request_breaks_the_api_at_length(described: Any) -> None:
    """300 requests for each operation."""
    assert attack(described, 300, described.token) == OPERATIONS
