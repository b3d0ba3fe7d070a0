"""Options of ``create`` that would do nothing beside the others: refused, because whoever gives one expects that it acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CROWD = ("reserve_minutes", "full_url", "already_url")
WORDS = {"faces_per_rater": "images_per_rater", "pairs_per_face": "pairs_per_image", "past": "not_from"}
"""Options whose name on the command line is another."""


def idle(given: Mapping[str, Any], values: Mapping[str, Any]) -> list[str]:
    """One sentence per option in ``given`` that nothing would look at; ``values``: the design that was asked for, defaults included."""
    checks = set(values.get("screen") or ())
    needs: dict[str, tuple[bool, str]] = {
        **dict.fromkeys(CROWD, (values.get("join", "invited") != "invited", "is for crowds (--join prolific, mturk or open)")),
        **dict.fromkeys(("pairs_per_face", "ties"), (values.get("method") == "pair", "needs --method pair")),
        "anchors": (values.get("method") != "pair", "shows examples of grades, and pairs have none"),
        "session_minutes": (values.get("rest_minutes") != 0, "asks for rests of no length, with --rest-minutes 0"),
        "rest_minutes": (values.get("session_minutes") != 0, "has no sessions to end, with --session-minutes 0"),
        "practice_faces": (values.get("practice") != 0, "has nothing to practise, with --practice 0"),
        "distance_cm": (bool(checks & {"card", "acuity"}), "needs --screen card or acuity, which use it"),
    }
    rules = values["analysis"]["exclude_raters"]
    if not any(value is not None and value is not False for value in rules.values()):
        needs["spares"] = (False, "replaces finished raters whom the plan's rules leave out, and the plan has no such rule")
    needs["screened_url"] = (values.get("screen_failed") == "refuse", "is for those whom --screen-failed refuse sends away")
    found = [f"--{_option(name)} {why}" for name, (acts, why) in needs.items() if given.get(name) and not acts]
    if given.get("already_url") and not given.get("past"):
        found.append("--already-url needs --not-from STUDY, whose workers are sent there")
    if (names := given.get("face_names")) and given.get("images") not in (None, len(names)):
        found.append(f"--images {given['images']} beside --faces, which names {len(names)}: leave --images out")
    return list(dict.fromkeys(found))


def _option(name: str) -> str:
    return WORDS.get(name, name).replace("_", "-")
