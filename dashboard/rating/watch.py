"""The page that watches a study: who is where, the pace, attention, missing cells. Means stay hidden until the stopping rule is met.

A Streamlit page script: it runs alone, or as a page of ``dashboard/app.py``. Which study is asked from ``FACESR_STUDIES``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import streamlit as st

import facesr
from facesr.bench.errors import FaceSRError
from facesr.bench.study import Study, store
from facesr.bench.study.address import HERE, checked_url, link, remembered
from facesr.bench.study.undo import undo
from facesr.bench.study.watching import Overview, overview

ACTS = ("pause", "resume", "replace", "new link", "undo")


@st.cache_resource(show_spinner=False)
def _open(path: str) -> Study:
    study = facesr.Study.load(path).folder
    _ = study.engine
    return study


def _chosen() -> Study | None:
    paths = [p for p in os.environ.get("FACESR_STUDIES", "").split(os.pathsep) if p]
    if not paths:
        st.info("No study is served: start with `facesr study serve studies/NAME`.")
        return None
    path = paths[0] if len(paths) == 1 else st.selectbox("Study", paths, format_func=lambda p: Path(p).name, key="watched study")
    try:
        study = _open(path)
    except FaceSRError as error:
        st.error(str(error))
        return None
    if study.imported:
        st.info(f"{study.name} holds imported ratings: there is nothing to watch.")
        return None
    return study


def _figures(study: Study, seen: Overview) -> None:
    columns = st.columns(5)
    columns[0].metric("Raters finished", f"{seen.finished} of {seen.needed}")
    columns[1].metric("Ratings", f"{seen.answered:,}")
    columns[2].metric("Missing", f"{seen.missing:,}")
    columns[3].metric("A minute", f"{seen.per_minute:.1f}", help="over the last ten minutes")
    columns[4].metric(
        "Wrong checks", f"{int(seen.raters['wrong'].sum())} of {int(seen.raters['checks'].sum())}", help="gold and attention items"
    )
    if seen.simulated:
        st.warning(f"{seen.simulated} simulated raters are in this study. They are labelled, and nothing on this page counts them.")


def _people(seen: Overview) -> None:
    st.subheader("Raters")
    if seen.raters.empty:
        st.info("Nobody has been invited yet.")
        return
    share = seen.raters["done"] / seen.raters["of"].clip(lower=1)
    table = seen.raters.assign(progress=100 * share, same_grade=100 * seen.raters["same_grade"], checks_wrong=_checks(seen))
    shown = [
        "name",
        "status",
        "progress",
        "done",
        "median_s",
        "pace_s",
        "unseen",
        "checks_wrong",
        "hidden_s",
        "corrected",
        "same_grade",
        "last",
        "excluded",
    ]
    settings = {
        "name": st.column_config.TextColumn("Rater"),
        "status": st.column_config.TextColumn("Status"),
        "progress": st.column_config.ProgressColumn("Progress", min_value=0, max_value=100, format="%.0f %%"),
        "done": st.column_config.NumberColumn("Answered", help="examples included"),
        "median_s": st.column_config.NumberColumn(
            "Time an item (s)", format="%.1f", help="median, from the moment the image was shown"
        ),
        "pace_s": st.column_config.NumberColumn(
            "By the server (s)", format="%.1f", help="time an image at most, by the server's clock: from sending it to its answer"
        ),
        "unseen": st.column_config.NumberColumn("Never sent", help="images that were rated and never sent to this rater"),
        "checks_wrong": st.column_config.TextColumn("Wrong checks", help="gold and attention items answered wrong"),
        "hidden_s": st.column_config.NumberColumn("Page hidden (s)", format="%.0f"),
        "corrected": st.column_config.NumberColumn("Corrections"),
        "same_grade": st.column_config.NumberColumn(
            "Share of the commonest grade", format="%.0f %%", help="near 100 %: one key all the way"
        ),
        "last": st.column_config.DatetimeColumn("Last answer (UTC)", format="YYYY-MM-DD HH:mm"),
        "excluded": st.column_config.TextColumn("Excluded"),
    }
    st.dataframe(table[shown], column_config=settings, hide_index=True, width="stretch")


def _notices(seen: Overview) -> None:
    if seen.notes:
        st.warning(
            "What stands out, for you to look at; the plan's rules decide, not these lines:\n\n"
            + "\n".join(f"- {_plain(n)}" for n in seen.notes)
        )


def _plain(text: str) -> str:
    """Text as it is: Streamlit would read some characters as marks of Markdown."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>$:~-])", r"\\\1", text)


def _checks(seen: Overview) -> list[str]:
    return [f"{w} of {c}" if c else "–" for w, c in zip(seen.raters["wrong"], seen.raters["checks"], strict=True)]


def _pace(seen: Overview) -> None:
    left, right = st.columns(2)
    with left:
        st.subheader("Ratings a minute")
        st.bar_chart(seen.rate, x="minute", y="ratings", x_label="last hour", y_label="", height=240)
    with right:
        st.subheader("Time an item")
        times = seen.raters.dropna(subset=["median_s"])
        if times.empty:
            st.caption("No answers yet.")
        else:
            st.bar_chart(times, x="name", y="median_s", x_label="rater", y_label="median seconds", height=240)


def _holes(seen: Overview) -> None:
    st.subheader("Missing cells")
    label = seen.cells["condition"].where(seen.cells["other"] == "", seen.cells["condition"] + " | " + seen.cells["other"])
    table = seen.cells.assign(condition=label).pivot_table(index="face", columns="condition", values="missing", aggfunc="sum")
    if not table.to_numpy().any():
        st.success("Every face has all its ratings in every condition.")
        return
    st.caption(f"{seen.missing:,} ratings of the plan are not there yet: faces down, conditions across.")
    worst = float(table.to_numpy().max())

    def shade(value: Any) -> str:
        return f"background-color: rgba(214, 140, 30, {0.08 + 0.55 * value / worst:.2f})" if value else ""

    styled: Any = table.style.map(shade).format("{:.0f}")
    st.dataframe(styled, width="stretch", height=280)


def _means(study: Study) -> None:
    st.subheader("Means")
    if study.may_show_means():
        _bars(study, "The stopping rule is met.")
        return
    st.caption(
        f"Hidden until {study.design.raters_to_finish} raters have finished ({study.finished()} so far): who looks early may stop early, "
        "and p-values then mean nothing. A look is possible; it is written into the study's log and into every export."
    )
    peeks = study.peeks()
    if peeks:
        st.warning(f"{len(peeks)} early looks are in the log, the last by {peeks[-1]['who']}: {peeks[-1]['reason']}")
    with st.form("peek", border=False), st.expander("Look now"):
        who = st.text_input("Who looks", key="peek who")
        reason = st.text_input("Why", key="peek why")
        if st.form_submit_button("Look, and log it"):
            if who.strip() and reason.strip():
                study.peek(who.strip()[:100], reason.strip()[:300])
                _bars(study, "Before the stopping rule was met.")
            else:
                st.error("Both the name and the reason are written into the log: please give them.")


def _bars(study: Study, note: str) -> None:
    import pandas as pd

    means = study.means()
    table = pd.DataFrame({"condition": list(means), "mean": list(means.values())}).sort_values("mean", ascending=False)
    st.caption(f"{note} Intervals and tests: `facesr study analyse`.")
    st.dataframe(table, hide_index=True, column_config={"mean": st.column_config.NumberColumn("mean", format="%.2f")})


def _acts(study: Study, seen: Overview) -> None:
    st.subheader("Invite, pause, replace")
    people = seen.raters[seen.raters["status"] != "deleted"]
    names = list(people["name"])
    left, right = st.columns(2)
    with left.form("invite"):
        base = st.text_input("Address of the server", value=remembered(study.path) or HERE)
        if st.form_submit_button("Invite a rater"):
            try:
                base = checked_url(base)
                rater, token = store.seat_rater(study.engine, rows=study.design.raters)
                _show_link(rater.name, base, token)
            except FaceSRError as error:
                st.error(str(error))
    with right.form("act"):
        who = st.selectbox("Rater", names, key="acted on", placeholder="nobody to act on")
        what = st.radio("What", ACTS, horizontal=True)
        reason = st.text_input("Reason", help="kept in the log")
        sure = st.checkbox(
            "Yes, do it", help="pausing and replacing change what a rater can do; 'undo' takes the last of them back"
        )
        if st.form_submit_button("Do it", disabled=not names) and who:
            if what in {"pause", "replace"} and not sure:
                st.error(f"{who} would no longer be able to rate: tick 'Yes, do it' if that is meant")
                return
            try:
                _act(study, str(who), str(what), reason, checked_url(base))
            except FaceSRError as error:
                st.error(str(error))


def _act(study: Study, who: str, what: str, reason: str, base: str) -> None:
    if what == "replace":
        rater, token = store.replace(study.engine, who, reason)
        _show_link(rater.name, base, token)
    elif what == "new link":
        _show_link(who, base, store.fresh_link(study.engine, who))
    elif what == "undo":
        st.success(undo(study, who))
    else:
        store.set_status(study.engine, who, "paused" if what == "pause" else "active", reason)
        st.success(f"{who}: {what}d")


def _show_link(name: str, base: str, token: str) -> None:
    st.success(f"{name}: this link is shown once")
    st.code(link(base, token), language=None)


def _log_out() -> None:
    # A plain link in this tab: Streamlit's own buttons open another one, and this page would stay on the screen.
    st.sidebar.html('<a href="/logout" target="_self">Log out</a>')


@st.fragment(run_every=10)
def _live(study: Study) -> None:
    seen = overview(study)
    _figures(study, seen)
    _people(seen)
    _notices(seen)
    _pace(seen)
    _holes(seen)


def watch_page() -> None:
    """Draw the page; the figures renew themselves every ten seconds."""
    study = _chosen()
    if study is None:
        return
    _log_out()
    design = study.design
    st.title(f"Study {study.name}")
    st.caption(
        f"{design.method.upper()} · {len(design.faces)} faces · {', '.join(design.conditions)} · frozen {design.created[:10]} · "
        f"digest {study.digest[:12]}"
    )
    _live(study)
    _means(study)
    _acts(study, overview(study))


if __name__ == "__main__":
    st.set_page_config(page_title="FaceSR-Bench study", layout="wide")
    watch_page()
