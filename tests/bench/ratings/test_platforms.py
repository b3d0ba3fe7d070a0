"""Ratings as survey platforms and crowd toolkits write them, by hand here: the same ratings come out, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from facesr.bench.ratings import read
from rating_cells import cells


def test_qualtrics(tmp_path: Path) -> None:
    """Three rows of header; the Prolific id where it is filled, previews left out, words of the scale, files named in the questions."""
    names = ["StartDate", "Status", "Progress", "ResponseId", "DistributionChannel", "PROLIFIC_PID", "Q1", "Q3_1", "Q3_2", "Q4"]
    asked = ["Start Date", "Response Type", "Progress", "Response ID", "Distribution Channel", "PROLIFIC_PID", "How old are you?",
             "How good is this image? - psp/f1.png", "How good is this image? - hr/f1.png", "Any comment?"]  # fmt: skip
    keys = ["startDate", "status", "progress", "_recordId", "distributionChannel", "PROLIFIC_PID"]
    ids = [json.dumps({"ImportId": i}) for i in (*keys, "QID1_TEXT", "QID3_1", "QID3_2", "QID4_TEXT")]
    body = [
        ["2024-05-01 10:00:00", "IP Address", "100", "R_1", "anonymous", "5f01", "about thirty", "Poor", "Excellent", "ok, fine"],
        ["2024-05-01 11:00:00", "IP Address", "100", "R_2", "anonymous", "5f02", "41", "Fair", "Good", ""],
        ["2024-05-01 12:00:00", "Survey Preview", "100", "R_3", "preview", "me", "20", "Bad", "Bad", ""],
    ]
    pd.DataFrame([names, asked, ids, *body]).to_csv(tmp_path / "q.csv", index=False, header=False)
    found = read(tmp_path / "q.csv")
    assert found.format == "Qualtrics"
    assert cells(found) == {("5f01", "f1", "psp"): 2, ("5f01", "f1", "hr"): 5, ("5f02", "f1", "psp"): 3, ("5f02", "f1", "hr"): 4}
    assert set(found.unused["reason"]) == {"a preview, not a response"}
    assert sorted(found.unused["row"]) == [6, 6]


def test_a_placeholder_is_nobody(tmp_path: Path) -> None:
    """Ids a platform never filled in, or a spreadsheet rewrote, are no person: their rows are listed, and nobody else is joined to them."""
    ids = ["{{%PROLIFIC_PID%}}", "${e://Field/PID}", "5E+23", "", "nan", "#NAME?", "ASSIGNMENT_ID_NOT_AVAILABLE", "5f02"]
    lines = [f"{who},f{i},{c},{s}" for i, who in enumerate(ids) for c, s in (("hr", 5), ("psp", 3))]
    (tmp_path / "p.csv").write_text("\n".join(["PROLIFIC_PID,image,method,rating", *lines]))
    found = read(tmp_path / "p.csv")
    assert list(found.table["rater"].unique()) == ["5f02"]
    assert len(found.unused) == 14
    assert set(found.unused["kind"]) == {"id"}
    assert list(found.unused["row"]) == list(range(2, 16))


def test_mturk(tmp_path: Path) -> None:
    """Answers go with the inputs of their number; rejected assignments are listed."""
    lines = [
        "HITId,AssignmentId,WorkerId,AssignmentStatus,Input.q0,Input.q1,Answer.rating0,Answer.rating1,Answer.comment",
        "h1,a1,W1,Approved,psp/f1.png,hr/f1.png,3,5,fun",
        "h1,a2,W2,Rejected,psp/f1.png,hr/f1.png,1,1,",
        "h2,a3,W2,Approved,hr/f2.png,psp/f2.png,4,2,",
    ]
    (tmp_path / "batch.csv").write_text("\n".join(lines))
    found = read(tmp_path / "batch.csv")
    assert cells(found) == {("W1", "f1", "psp"): 3, ("W1", "f1", "hr"): 5, ("W2", "f2", "hr"): 4, ("W2", "f2", "psp"): 2}
    assert list(found.unused["value"]) == ["1", "1"]


def test_mturk_crowd_form(tmp_path: Path) -> None:
    """Radio buttons as JSON: {"1": false, "4": true}."""
    answer = json.dumps([{"rating0": {"1": False, "4": True}, "rating1": {"2": True, "5": False}}])
    row = {
        "WorkerId": "W1",
        "AssignmentStatus": "Submitted",
        "Input.q0": "hr/f1.png",
        "Input.q1": "psp/f1.png",
        "Answer.taskAnswers": answer,
    }
    pd.DataFrame([row]).to_csv(tmp_path / "batch.csv", index=False)
    assert cells(read(tmp_path / "batch.csv")) == {("W1", "f1", "hr"): 4, ("W1", "f1", "psp"): 2}


def test_p910_toolkit(tmp_path: Path) -> None:
    """Its answers carry the clip beside the vote; trapping and gold clips are checks; its list of votes per worker is a long table."""
    lines = [
        "HITId,WorkerId,AssignmentStatus,Input.TP,Input.gold_clip,Answer.q1,Answer.q1_url,Answer.q2,Answer.q2_url,Answer.q3,Answer.q3_url",
        "h,W1,Submitted,https://x.org/c/tp.mp4,https://x.org/c/gold.mp4,4,https://x.org/c/psp/f1.mp4,1,https://x.org/c/tp.mp4,5,https://x.org/c/gold.mp4",
        "h,W2,Submitted,https://x.org/c/tp.mp4,https://x.org/c/gold.mp4,3,https://x.org/c/psp/f1.mp4,2,https://x.org/c/hr/f1.mp4,5,https://x.org/c/gold.mp4",
    ]
    (tmp_path / "answers.csv").write_text("\n".join(lines))
    found = read(tmp_path / "answers.csv")
    assert found.format == "P.910 toolkit"
    assert cells(found) == {("W1", "f1", "psp"): 4, ("W2", "f1", "psp"): 3, ("W2", "f1", "hr"): 2}
    assert sorted(found.table["kind"]) == ["attention", "gold", "gold", "main", "main", "main"]
    (tmp_path / "votes.csv").write_text(
        "HITId,workerid,file,short_file_name,vote\nh,W1,https://x/psp/f1.png,f1.png,4\nh,W2,https://x/hr/f1.png,f1.png,3\n"
    )
    assert cells(read(tmp_path / "votes.csv")) == {("W1", "f1", "psp"): 4, ("W2", "f1", "hr"): 3}


SHOWN = [
    ("html-button-response", "<p>Ready?</p>", 0, 800),
    ("image-button-response", "img/psp/f1.png", 3, 1200.5),
    ("html-button-response", '<img src="img/hr/f1.png">', 4, 900),
    ("image-button-response", "img/bicubic/f1.png", 0, 700),
]
TRIALS: list[dict[str, object]] = [
    {"trial_type": "preload", "trial_index": 0, "time_elapsed": 10, "participant": "P1"},
    *(
        {"trial_type": t, "trial_index": i, "time_elapsed": 900 * i, "stimulus": s, "response": r, "rt": rt, "participant": "P1"}
        for i, (t, s, r, rt) in enumerate(SHOWN, 1)
    ),
]


@pytest.mark.parametrize("form", ["csv", "json", "jatos"])
def test_jspsych(tmp_path: Path, form: str) -> None:
    """CSV, JSON and a list per line; buttons count from 0; trials without an image are listed."""
    file = tmp_path / f"trials.{'csv' if form == 'csv' else 'json'}"
    if form == "csv":
        pd.DataFrame(TRIALS).to_csv(file, index=False)
    else:
        file.write_text(json.dumps(TRIALS) if form == "json" else f"{json.dumps(TRIALS[:3])}\n{json.dumps(TRIALS[3:])}\n")
    found = read(file)
    assert cells(found) == {("P1", "f1", "psp"): 3, ("P1", "f1", "hr"): 4, ("P1", "f1", "bicubic"): 0}
    assert (found.scale.low, found.scale.high) == (0, 4)
    assert list(found.table["position"]) == [3, 4, 5]
    assert list(found.table["rt_ms"]) == [1200.5, 900, 700]
    assert len(found.unused) == 2


def test_webmushra(tmp_path: Path) -> None:
    """0 to 100 whatever was given; who rated is the session, not the e-mail address, which is not kept."""
    lines = [
        '"session_test_id","email","age","session_uuid","trial_id","rating_stimulus","rating_score","rating_time","rating_comment"',
        '"t1","a@x.org","24","u-1","face01","psp","72","5012",""',
        '"t1","a@x.org","24","u-1","face01","reference","100","5012",""',
        '"t1","b@x.org","31","u-2","face01","psp","3","7012","nice, but blurry"',
    ]
    (tmp_path / "mushra.csv").write_text("\n".join(lines))
    found = read(tmp_path / "mushra.csv")
    assert cells(found) == {("u-1", "face01", "psp"): 72, ("u-1", "face01", "reference"): 100, ("u-2", "face01", "psp"): 3}
    assert (found.scale.low, found.scale.high) == (0, 100)
    assert not found.table.astype(str).apply(lambda c: c.str.contains("@")).any().any()
    (tmp_path / "lss.csv").write_text(
        "session_test_id,session_uuid,trial_id,stimuli_rating,stimuli,rating_time\nt,u,f1, 4 ,psp,900\n"
    )
    assert cells(read(tmp_path / "lss.csv")) == {("u", "f1", "psp"): 4}
