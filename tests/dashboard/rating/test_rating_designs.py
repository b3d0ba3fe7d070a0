"""The rating API under other designs: crowds, fractional zoom, paired comparison."""

from __future__ import annotations

from pathlib import Path

from asgi_client import TestClient, generous
from facesr.bench.study import store
from facesr.dashboard.rating.api import rating_api
from fake_study import small_study


def test_prolific(tmp_path: Path) -> None:
    """A worker takes a place by the platform's parameter, comes back to the same place, ends at the platform's address."""
    url = "https://app.prolific.com/submissions/complete?cc={code}"
    study = small_study(tmp_path, join="prolific", completion_url=url, completion_code="C1A2B3", raters=2)
    with TestClient(rating_api(study, generous())) as client:
        body = {"source": "prolific", "worker": "5f1234567890abcdef123456"}
        first = client.post("/join", json=body).json()["token"]
        again = client.post("/join", json=body).json()["token"]
        sessions = [client.get("/session", headers={"Authorization": f"Bearer {x}"}).json() for x in (first, again)]
        assert sessions[0]["rater"] == sessions[1]["rater"]
        assert client.post("/join", json={"source": "prolific", "worker": ""}).status_code == 422
        assert client.post("/join", json={"source": "prolific", "worker": "a b"}).status_code == 422
        assert client.post("/join", json={"source": "mturk", "worker": "A1"}).status_code == 403
        assert client.post("/join", json={"source": "prolific", "worker": "second"}).status_code == 200
        assert client.post("/join", json={"source": "prolific", "worker": "third"}).status_code == 409
        headers = {"Authorization": f"Bearer {first}"}
        client.post("/consent", json={"agreed": True}, headers=headers)
        for item in sessions[0]["items"]:
            score = None if item["task"].startswith("anchor") else 3
            client.put(f"/ratings/{item['position']}", json={"score": score}, headers=headers)
        assert client.get("/done", headers=headers).json() == {
            "code": "C1A2B3",
            "url": "https://app.prolific.com/submissions/complete?cc=C1A2B3",
        }
    study.close()


def test_fractional_zoom_is_refused_or_recorded(tmp_path: Path) -> None:
    """As the study says; whole device pixels pass both, at any ratio."""
    for policy, status in (("refuse", 409), ("record", 200)):
        study = small_study(tmp_path / policy, fractional=policy)
        with TestClient(rating_api(study, generous())) as client:
            _, token = store.seat_rater(study.engine, rows=3)
            headers = {"Authorization": f"Bearer {token}"}
            client.post("/consent", json={"agreed": True}, headers=headers)
            whole = {"score": None, "shown": {"dpr": 2.0, "pinch": 1.0}}
            assert client.put("/ratings/1", json=whole, headers=headers).status_code == 200
            for shown in ({"dpr": 1.25, "device_pixels": 2.5}, {"dpr": 2, "pinch": 1.4}):
                position = client.get("/session", headers=headers).json()["next"]
                response = client.put(f"/ratings/{position}", json={"score": None, "shown": shown}, headers=headers)
                assert response.status_code == status
        study.close()


def test_pairs(tmp_path: Path) -> None:
    """Two images an item, answers left, right and, where the design allows it, tie."""
    study = small_study(tmp_path, method="pair", pairs_per_face=2, ties=True)
    with TestClient(rating_api(study, generous())) as client:
        _, token = store.seat_rater(study.engine, rows=3)
        headers = {"Authorization": f"Bearer {token}"}
        client.post("/consent", json={"agreed": True}, headers=headers)
        found = client.get("/session", headers=headers).json()
        assert found["scores"] == [1, 2, 3]
        for item in found["items"]:
            assert item["image"] != item["other"]
            assert (
                client.put(f"/ratings/{item['position']}", json={"score": 1 + item["position"] % 3}, headers=headers).status_code
                == 200
            )
        assert client.put("/ratings/1", json={"score": 4}, headers=headers).status_code == 422
    table = study.ratings()
    assert len(table) == 8
    assert (table["condition"] != table["other"]).all()
    study.close()
