"""What methods say of themselves stands under every table that shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from fake_run import make_run

from facesr.bench.results import load_run
from facesr.bench.study.create import create
from facesr.bench.study.simulate import simulate
from facesr.reports import notes
from facesr.reports.build import attribute_names
from facesr.reports.gather import gather
from facesr.reports.mos import mos_table, open_study, pairs_table, table_one
from facesr.reports.page import html_page
from facesr.reports.people import against_people, agreement_table
from facesr.reports.scores import open_runs
from facesr.reports.served import attribute_table, duel_by
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
    # a network that was a loss, under a metric that can be any network's
    facts["methods"][1]["training_losses"] = [f"{metric}:mobile", f"{metric}:net_b", "no-such-metric:mobile"]
    for file, said in (("models/MobileFaceNet.onnx", True), ("other.onnx", False)):
        facts["metrics"][metric]["weights"] = {file: "0" * 64}
        (folder / "run.json").write_text(json.dumps(facts))
        assert (lines[1] in notes.declared(open_runs([folder]))) == said
    facts["methods"][1]["training_losses"] = [metric]
    (folder / "run.json").write_text(json.dumps(facts))
    table = table_of([folder])
    for text in (table.markdown(), table.html()):
        assert small in text
        assert "was a training loss of" in text
    assert small in table.latex()


def test_no_table_of_methods_is_without_them(tmp_path: Path) -> None:
    """Tables by attribute, of two methods, against people, against papers, of a study, and the report's faces: the kind, not one of them."""
    folder = make_run(tmp_path / "run")
    facts = json.loads((folder / "run.json").read_text())
    labels = [m["label"] for m in facts["methods"]]
    metric = next(iter(facts["metrics"]))
    for entry in facts["methods"]:
        entry["notes"], entry["training_losses"] = ["weights of an amateur"], [metric]
    (folder / "run.json").write_text(json.dumps(facts))
    scores = open_runs([folder])
    loss = f"{scores.column(metric).label} was a training loss of"
    other = next(m for m in scores.metrics if m != metric)
    attribute = attribute_names(scores)[0]
    for table in (attribute_table(scores, attribute, metric), duel_by(scores, *labels[:2], metric, [attribute])):
        assert "weights of an amateur" in table.markdown()
        assert loss in table.latex(notes="full")
        assert loss not in attribute_table(scores, attribute, other).markdown()
    made = create(
        load_run(folder), tmp_path / "study", options={"images": 4, "conditions": ["hr", *labels[:2]], "gold": 0, "anchors": 0}
    )
    assert made.info["run"]["notes"] == {label: ["weights of an amateur"] for label in labels[:2]}
    (line,) = notes.declared_in(made)
    assert line.endswith(": weights of an amateur.")
    for strange in ("x", {"notes": 3}, {"notes": {"a": 3}}):
        assert notes.declared_in(replace(made, info={**made.info, "run": strange})) == []
    simulate(made, 12, seed=1)
    mos = open_study(made.path, peek=True, simulated=True)
    people = against_people(scores, mos)
    assert people is not None
    for table in (
        table_one(mos),
        mos_table(mos),
        pairs_table(mos),
        agreement_table(people),
        table_of([folder], study=made.path, peek=True, simulated=True),
    ):
        assert table.markdown().count("weights of an amateur") == 1, table.name
    assert loss in agreement_table(people).markdown()
    faces = html_page(gather(scores, count=1)).split('class="faces"')[1].split("</table>")[1].split("</p>")[0]
    assert "weights of an amateur" in faces
