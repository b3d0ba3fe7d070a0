"""From ratings to payments: submissions kept encrypted until they are paid, files as the platforms import them, then the ids are erased."""

from __future__ import annotations

import base64
import csv
import hashlib
import hmac
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from facesr.bench.errors import FaceSRError
from facesr.bench.study import reading
from facesr.bench.study import tables as t
from facesr.bench.study.database import now, private, writing
from facesr.bench.study.store import log_event
from facesr.bench.study.study import Study

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


def _box(secret: bytes) -> Fernet:
    from cryptography.fernet import Fernet

    return Fernet(base64.urlsafe_b64encode(hmac.new(secret, b"submissions", hashlib.sha256).digest()))


def sealed(secret: bytes, content: Mapping[str, str]) -> str:
    """A worker's ids, encrypted and authenticated (Fernet: AES-128-CBC, HMAC-SHA256) with a key derived from the study's."""
    return _box(secret).encrypt(json.dumps(dict(content)).encode()).decode("ascii")


def unsealed(secret: bytes, text: str) -> dict[str, str]:
    """What ``sealed`` encrypted."""
    from cryptography.fernet import InvalidToken

    try:
        return {str(k): str(v) for k, v in json.loads(_box(secret).decrypt(text.encode("ascii", "replace"))).items()}
    except (InvalidToken, ValueError):
        raise FaceSRError("a submission cannot be decrypted: secret.key is not the one the study was run with") from None


def completion_code(study: Study, rater: int) -> str:
    """The code a rater is given at the end: the design's, or one of the rater's own."""
    own = hmac.new(study.secret, f"done:{rater}".encode(), hashlib.sha256).hexdigest()[:8].upper()
    return study.design.completion_code or own


@dataclass(frozen=True)
class Payment:
    """What is due to a worker. ``decision``: approve | reject | wait; ``reason``: the rule, where the plan left the rater out."""

    rater: str
    worker: str
    submission: str
    decision: str
    reason: str
    code: str


def payments(study: Study) -> list[Payment]:
    """Every submission that was not settled yet, in the order of joining."""
    people = reading.raters(study).set_index("name")
    out = study.excluded()
    query = select(t.rater.c.id, t.rater.c.name, t.rater.c.status, t.rater.c.departed, t.submission.c.sealed)
    joined = query.join(t.submission, t.submission.c.rater == t.rater.c.id).where(t.submission.c.sealed.is_not(None))
    with study.engine.connect() as connection:
        rows = connection.execute(joined.order_by(t.rater.c.id)).all()
    found = []
    for row in rows:
        ids = unsealed(study.secret, row.sealed)
        finished = people.loc[row.name, "status"] == "done"
        decision = ("reject" if row.name in out else "approve") if finished else "wait"
        if row.departed:
            decision = "returned"
        found.append(
            Payment(
                row.name,
                ids["worker"],
                ids["submission"],
                decision,
                out.get(row.name, ""),
                completion_code(study, row.id) if finished else "",
            )
        )
    return found


def write_payments(study: Study, folder: Path, bonus: Mapping[str, float], *, bonus_all: float = 0.0) -> list[Path]:
    """The files a platform imports, readable by their owner alone: what to approve, to reject (with the rule) and to pay on top.

    ``bonus``: amount by rater, ``bonus_all``: for everyone approved. Prolific takes lists of participants and ``id,amount`` lines; MTurk a
    table with AssignmentId, Approve and Reject, and bonuses with WorkerId and AssignmentId.
    """
    if study.design.join not in {"prolific", "mturk"}:
        raise FaceSRError(f"{study.path} takes raters by {study.design.join!r}: payments are for --join prolific and mturk")
    found = payments(study)
    names = {p.rater: p for p in found}
    if strange := [n for n in bonus if n not in names or names[n].decision != "approve"]:
        raise FaceSRError(
            f"no bonus can be paid to {strange[0]}: only raters whose submission is approved and not settled have one"
        )
    amounts = {p.rater: bonus.get(p.rater, bonus_all) for p in found if p.decision == "approve"}
    amounts = {name: value for name, value in amounts.items() if value > 0}
    folder.mkdir(parents=True, exist_ok=True)
    files = _prolific(found, amounts) if study.design.join == "prolific" else _mturk(found, amounts)
    files["overview.csv"] = _csv(["rater", "decision", "reason", "code"], [[p.rater, p.decision, p.reason, p.code] for p in found])
    for name, text in files.items():
        private(folder / name, text)
    return [folder / name for name in files]


def _csv(header: list[str], rows: list[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows] if header else rows)
    return text.getvalue()


def _prolific(found: list[Payment], amounts: Mapping[str, float]) -> dict[str, str]:
    by = {d: [p for p in found if p.decision == d] for d in ("approve", "reject")}
    return {
        "approve.txt": "".join(f"{p.worker}\n" for p in by["approve"]),
        "reject.csv": _csv(
            ["participant_id", "submission_id", "reason"], [[p.worker, p.submission, p.reason] for p in by["reject"]]
        ),
        "bonus.csv": _csv([], [[p.worker, f"{amounts[p.rater]:.2f}"] for p in found if p.rater in amounts]),
    }


def _mturk(found: list[Payment], amounts: Mapping[str, float]) -> dict[str, str]:
    decided = [p for p in found if p.decision in {"approve", "reject"}]
    rows = [
        [p.submission, p.worker, "x" if p.decision == "approve" else "", p.reason if p.decision == "reject" else ""]
        for p in decided
    ]
    bonus = [[p.worker, p.submission, f"{amounts[p.rater]:.2f}", "Thank you"] for p in found if p.rater in amounts]
    return {
        "review.csv": _csv(["AssignmentId", "WorkerId", "Approve", "Reject"], rows),
        "bonus.csv": _csv(["WorkerId", "AssignmentId", "BonusAmount", "Reason"], bonus),
    }


def settle(study: Study) -> int:
    """Erase the ids of everything that was decided, and note it in the log; returns how many. Keyed hashes stay, so that nobody returns."""
    decided = [p.rater for p in payments(study) if p.decision != "wait"]
    with writing(study.engine) as connection:
        ids = select(t.rater.c.id).where(t.rater.c.name.in_(decided))
        connection.execute(update(t.submission).where(t.submission.c.rater.in_(ids)).values(sealed=None, paid=now()))
        log_event(connection, "ids erased", submissions=len(decided))
    return len(decided)


def find_code(study: Study, code: str) -> list[str]:
    """Raters who were given this completion code."""
    with study.engine.connect() as connection:
        rows = connection.execute(select(t.rater.c.id, t.rater.c.name).where(t.rater.c.status == "done")).all()
    return [name for key, name in rows if hmac.compare_digest(completion_code(study, key).encode(), code.strip().encode())]
