"""The plan's rules about raters, carried out: who is left out, by which rule, and the figure that decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from facesr.bench.study.plan import ExcludeRaters

if TYPE_CHECKING:
    import pandas as pd

Broken = dict[str, dict[str, str]]
"""Rater -> rule -> reason."""


def violations(rules: ExcludeRaters, ratings: pd.DataFrame, raters: pd.DataFrame) -> Broken:
    """Finished raters who broke a declared rule. ``ratings``: all rows of ``reading.ratings``; ``raters``: rows of ``reading.raters``.

    Simulated raters saw no images from the server, so the rules about sending and pace do not touch them. All raters are judged at once: a
    large crowd costs one pass over the table, not one for each of them.
    """
    done = raters.loc[(raters["status"] == "done") & raters["name"].isin(ratings["rater"].unique()), ["name", "simulated"]]
    if not rules.declared or done.empty:
        return {}
    own = ratings[ratings["rater"].isin(done["name"])]
    seen = own[~own["rater"].isin(done.loc[done["simulated"].astype(bool), "name"])]
    found: Broken = {str(name): {} for name in done["name"]}
    for judged in (_wrong(rules, own), _grades(rules, own), _by_the_server(rules, seen)):
        for name, rule, reason in judged:
            found[name][rule] = reason
    if rules.same_device:
        for name, other in _same_device(raters).items():
            if name in found:
                found[name]["same_device"] = f"the same browser as {other}"
    return {name: broken for name, broken in found.items() if broken}


Judged = Iterator[tuple[str, str, str]]
"""Rater, rule, reason."""


def _wrong(rules: ExcludeRaters, own: pd.DataFrame) -> Judged:
    for rule, kind in {"attention_wrong": "attention", "gold_wrong": "gold"}.items():
        limit, items = getattr(rules, rule), own[own["kind"] == kind]
        if limit is not None:
            counts = (~items["correct"].astype(bool)).groupby(items["rater"]).agg(["sum", "size"])
            for name, wrong, count in counts[counts["sum"] > limit * counts["size"]].itertuples(name=None):
                yield name, rule, f"{wrong} of {count} {kind} items wrong, more than {limit:.0%}"


def _grades(rules: ExcludeRaters, own: pd.DataFrame) -> Judged:
    if rules.same_grade is not None:
        main = own[own["kind"] == "main"]
        count, each = main.groupby("rater").size(), main.groupby(["rater", "score"]).size().groupby("rater")
        shares = each.max() / each.sum()
        for name, share in shares[(shares > rules.same_grade) & (count.reindex(shares.index) >= 10)].items():
            yield (
                str(name),
                "same_grade",
                f"{share:.0%} of {count[str(name)]} images got one grade, more than {rules.same_grade:.0%}",
            )
    if rules.repeats_apart is not None:
        apart = repeats_apart(own)
        for name, value in apart[apart > rules.repeats_apart].items():
            reason = f"repeated images differ by {value:.2f} on average, more than {rules.repeats_apart:g}"
            yield str(name), "repeats_apart", reason


def repeats_apart(table: pd.DataFrame) -> pd.Series[float]:
    """Mean absolute difference between first and repeated answers, by rater; those without repeats are not in it."""
    keys = ["rater", "face", "condition", "other"]
    both = table[table["kind"] == "main"].merge(table[table["kind"] == "repeat"], on=keys, suffixes=("", "_again"))
    return (both["score"] - both["score_again"]).abs().groupby(both["rater"]).mean()


def _by_the_server(rules: ExcludeRaters, own: pd.DataFrame) -> Judged:
    """Rules that rest on the server's own clock and on which images it sent, which no page can invent."""
    if rules.unseen is not None:
        shown = own[own["kind"].isin(["main", "repeat", "gold"])]
        counts = shown["served_ms"].isna().groupby(shown["rater"]).agg(["sum", "size"])
        for name, unseen, count in counts[counts["sum"] > rules.unseen * counts["size"]].itertuples(name=None):
            yield name, "unseen", f"{unseen} of {count} images were rated and never sent, more than {rules.unseen:.0%}"
    if rules.pace_seconds is not None:
        seconds = pace(own)
        for name, value in seconds[seconds < rules.pace_seconds].items():
            reason = f"{value:.2f} s per image by the server's clock, less than {rules.pace_seconds:g} s"
            yield str(name), "pace_seconds", reason


def pace(table: pd.DataFrame) -> pd.Series[float]:
    """Seconds an image at most, by the server's clock, by rater: the smaller of two bounds. Those without images that were sent are not in it.

    The median time from sending an image to its answer, and the time from the first sending to the last answer over the number of answers.
    Images are loaded ahead and answers may wait offline; both only make the bounds longer, so nobody is called hasty who was not.
    """
    import numpy as np
    import pandas as pd

    seen = table[table["served_ms"].notna() & table["score"].notna()]
    at = pd.to_datetime(seen["at"], utc=True, format="ISO8601")
    first = at - pd.to_timedelta(seen["served_ms"], unit="ms")
    who = seen["rater"]
    whole = (at.groupby(who).max() - first.groupby(who).min()).dt.total_seconds() / at.groupby(who).size()
    return pd.Series(np.minimum(seen["served_ms"].groupby(who).median() / 1000, whole), dtype=float)


def _same_device(raters: pd.DataFrame) -> dict[str, str]:
    """Raters whose browser another rater had used before them -> that rater."""
    first: dict[str, str] = {}
    found = {}
    known = raters[raters["device"].notna() & (raters["device"] != "")].sort_values(["invited", "name"])
    for name, device, departed in known[["name", "device", "departed"]].itertuples(index=False, name=None):
        if departed != "screened" and first.setdefault(device, name) != name:
            found[name] = first[device]
    return found
