"""The plan's rules about raters, carried out: who is left out, by which rule, and the figure that decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facesr.bench.study.plan import ExcludeRaters

if TYPE_CHECKING:
    import pandas as pd

Broken = dict[str, dict[str, str]]
"""Rater -> rule -> reason."""


def violations(rules: ExcludeRaters, ratings: pd.DataFrame, raters: pd.DataFrame) -> Broken:
    """Finished raters who broke a declared rule. ``ratings``: all rows of ``reading.ratings``; ``raters``: rows of ``reading.raters``.

    Simulated raters saw no images from the server, so the rules about sending and pace do not touch them.
    """
    groups = dict(iter(ratings.groupby("rater")))
    done = raters.loc[(raters["status"] == "done") & raters["name"].isin(list(groups)), ["name", "simulated"]]
    found: Broken = {}
    if rules.declared and len(done):
        for name, simulated in done.itertuples(index=False, name=None):
            found[name] = _broken(rules, groups[name], bool(simulated))
        if rules.same_device:
            for name, other in _same_device(raters).items():
                if name in found:
                    found[name]["same_device"] = f"the same browser as {other}"
    return {name: broken for name, broken in found.items() if broken}


def _broken(rules: ExcludeRaters, own: pd.DataFrame, simulated: bool) -> dict[str, str]:
    found = {}
    for rule, kind in {"attention_wrong": "attention", "gold_wrong": "gold"}.items():
        limit, items = getattr(rules, rule), own[own["kind"] == kind]
        wrong = int((~items["correct"].astype(bool)).sum())
        if limit is not None and len(items) and wrong > limit * len(items):
            found[rule] = f"{wrong} of {len(items)} {kind} items wrong, more than {limit:.0%}"
    scores = own.loc[own["kind"] == "main", "score"]
    if rules.same_grade is not None and len(scores) >= 10:
        share = float(scores.value_counts(normalize=True).max())
        if share > rules.same_grade:
            found["same_grade"] = f"{share:.0%} of {len(scores)} images got one grade, more than {rules.same_grade:.0%}"
    if rules.repeats_apart is not None and (apart := repeats_apart(own)) is not None and apart > rules.repeats_apart:
        found["repeats_apart"] = f"repeated images differ by {apart:.2f} on average, more than {rules.repeats_apart:g}"
    return found if simulated else found | _by_the_server(rules, own)


def repeats_apart(own: pd.DataFrame) -> float | None:
    """Mean absolute difference between the first and the repeated answer of one rater; None without repeats."""
    keys = ["face", "condition", "other"]
    both = own[own["kind"] == "main"].merge(own[own["kind"] == "repeat"], on=keys, suffixes=("", "_again"))
    return float((both["score"] - both["score_again"]).abs().mean()) if len(both) else None


def _by_the_server(rules: ExcludeRaters, own: pd.DataFrame) -> dict[str, str]:
    """Rules that rest on the server's own clock and on which images it sent, which no page can invent."""
    found = {}
    shown = own[own["kind"].isin(["main", "repeat", "gold"])]
    if rules.unseen is not None and len(shown):
        unseen = int(shown["served_ms"].isna().sum())
        if unseen > rules.unseen * len(shown):
            found["unseen"] = f"{unseen} of {len(shown)} images were rated and never sent, more than {rules.unseen:.0%}"
    if rules.pace_seconds is not None and (seconds := pace(own)) is not None and seconds < rules.pace_seconds:
        found["pace_seconds"] = f"{seconds:.2f} s per image by the server's clock, less than {rules.pace_seconds:g} s"
    return found


def pace(own: pd.DataFrame) -> float | None:
    """Seconds an image at most, by the server's clock: the smaller of two bounds. None without images that were sent.

    The median time from sending an image to its answer, and the time from the first sending to the last answer over the number of answers.
    Images are loaded ahead and answers may wait offline; both only make the bounds longer, so nobody is called hasty who was not.
    """
    import pandas as pd

    seen = own[own["served_ms"].notna() & own["score"].notna()]
    if seen.empty:
        return None
    at = pd.to_datetime(seen["at"], utc=True, format="ISO8601")
    first = (at - pd.to_timedelta(seen["served_ms"], unit="ms")).min()
    return min(float(seen["served_ms"].median()) / 1000, (at.max() - first).total_seconds() / len(seen))


def _same_device(raters: pd.DataFrame) -> dict[str, str]:
    """Raters whose browser another rater had used before them -> that rater."""
    first: dict[str, str] = {}
    found = {}
    known = raters[raters["device"].notna() & (raters["device"] != "")].sort_values(["invited", "name"])
    for name, device, departed in known[["name", "device", "departed"]].itertuples(index=False, name=None):
        if departed != "screened" and first.setdefault(device, name) != name:
            found[name] = first[device]
    return found
