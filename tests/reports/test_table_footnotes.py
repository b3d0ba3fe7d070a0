"""What methods say of themselves stands under every table that shows them."""

from __future__ import annotations

import json
from pathlib import Path

from fake_run import make_run

from facesr.reports import notes
from facesr.reports.scores import open_runs
from facesr.reports.tables import table_of


def test_tables_say_whose_weights_and_which_metrics_were_losses(tmp_path: Path) -> None:
    """What a method declares stands under the table, the paper's too, methods that declare the same named together."""
    folder = make_run(tmp_path / "run")
    facts = json.loads((folder / "run.json").read_text())
    small = "small default weights of this project, not the published models"
    first, second = [m["label"] for m in facts["methods"]][:2]
    metric = next(iter(facts["metrics"]))
    label = facts["metrics"][metric]["label"]
    for entry in facts["methods"][:2]:
        entry["notes"] = [small]
    facts["methods"][1]["training_losses"] = [metric, "no-such-metric"]
    (folder / "run.json").write_text(json.dumps(facts))
    lines = notes.declared(open_runs([folder]))
    assert len(lines) == 2
    assert lines[0].lower() == f"{first}, {second}: {small}.".lower()
    assert lines[1].lower() == f"{label} was a training loss of {second}.".lower()
    table = table_of([folder])
    for text in (table.markdown(), table.html()):
        assert small in text
        assert "was a training loss of" in text
    assert small in table.latex()
