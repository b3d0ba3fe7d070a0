"""Provenance: protocol, digests, weights, machine, seeds, times, files; and whether all files are still what was measured."""

from __future__ import annotations

import streamlit as st

from facesr.bench.errors import FaceSRError
from facesr.bench.results import Run
from facesr.bench.results.again import command
from facesr.bench.verify.files import as_json, verify_files
from facesr.dashboard import shell
from facesr.dashboard.address import check_address, choose_option
from facesr.dashboard.scene import Scene
from facesr.dashboard.sources import distinct
from facesr.reports import facts


def page(scene: Scene) -> None:
    """Draw it."""
    st.title("Provenance")
    runs = list(scene.whole.runs)
    names = distinct(r.path for r in runs)
    if len(runs) > 1:
        which = names[choose_option("Run", list(names), "which")]
        run = next(r for r in runs if r.path == which)
    else:
        check_address("which", names, "run")
        run = runs[0]
    st.caption("The command that makes this run again")
    st.code(command(run.info, run.path.name), language=None, wrap_lines=True)
    _verify(run)
    shell.facts(facts.protocol_facts(run.info), "Protocol")
    shell.facts(facts.run_facts(run.info), "Run")
    shell.facts([(m.label, facts.method_facts(m)) for m in run.info.methods], "Methods and weights")
    shell.facts([(name, facts.metric_facts(fact)) for name, fact in run.metrics.items()], "Metrics")
    shell.facts(facts.machine_facts(run.info), "Machine and packages")
    _files(run)


def _files(run: Run) -> None:
    import pandas as pd

    faces = run.faces
    with st.expander(f"Files: {len(faces):,} HR faces with the sha256 of each"):
        frame = pd.DataFrame([(f.name, facts.without_folders(f.path), f.sha256) for f in faces], columns=["face", "file", "sha256"])
        st.dataframe(frame, hide_index=True, width="stretch", alt="Faces measured, their files and sha256")
        st.download_button(
            "CSV", lambda: frame.to_csv(index=False), "faces.csv", "text/csv", on_click="ignore", icon=":material/download:"
        )


def _verify(run: Run) -> None:
    st.caption("Hash every HR, LR, SR and weight file again, and compare with what was noted when it was measured.")
    if not st.button("Verify all files", icon=":material/verified:"):
        return
    bar = st.progress(0.0, "Hashing …")

    def tick(done: int, total: int) -> None:
        bar.progress(done / max(total, 1), f"Hashing {done:,} of {total:,} files …")

    try:
        verdict = verify_files(run, tick)
    except FaceSRError as error:
        bar.empty()
        st.error(str(error))
        return
    bar.empty()
    (st.success if verdict.clean else st.error)(verdict.sentence)
    for title, names in (("Changed", verdict.changed), ("Not there", verdict.missing), ("Cannot be compared", verdict.unknown)):
        if names:
            with st.expander(f"{title}: {len(names):,}", expanded=title != "Cannot be compared"):
                st.text("\n".join(names[:200]) + (f"\n… and {len(names) - 200:,} more" if len(names) > 200 else ""))
    st.download_button("Verdict as JSON", as_json(verdict), "verdict.json", "application/json", on_click="ignore")


def warm(scene: Scene) -> None:
    """Nothing to compute."""
