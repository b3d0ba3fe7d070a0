"""What the organisers may see while a study runs: progress, pace, attention, holes; no means."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from facesr.bench.study import reading
from facesr.bench.study.conduct import conduct
from facesr.bench.study.rules import pace
from facesr.bench.study.study import Study

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Overview:
    """``raters``: one row per person with progress, pace, attention failures. ``rate``: ratings in each of the last 60 minutes.

    ``cells``: due, rated and missing ratings of each face and condition. ``notes``: what stands out in how people went about it (``conduct``).
    No score is in here.
    """

    name: str
    raters: pd.DataFrame
    rate: pd.DataFrame
    cells: pd.DataFrame
    needed: int
    simulated: int
    notes: list[str]

    @property
    def finished(self) -> int:
        """People who have finished and count."""
        return int(((self.raters["status"] == "done") & (self.raters["excluded"] == "")).sum())

    @property
    def answered(self) -> int:
        """Ratings of people, anchors left out."""
        return int(self.raters["rated"].sum())

    @property
    def per_minute(self) -> float:
        """Ratings a minute over the last ten minutes."""
        return float(self.rate["ratings"].tail(10).sum() / 10) if len(self.rate) else 0.0

    @property
    def missing(self) -> int:
        """Ratings of the plan that are not there yet."""
        return int(self.cells["missing"].sum())

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        people = self.raters.astype(object).where(self.raters.notna(), None)
        figures = {k: getattr(self, k) for k in ("finished", "needed", "answered", "per_minute", "missing", "simulated")}
        return {"study": self.name, **figures, "notes": self.notes, "raters": people.to_dict("records")}

    def text(self) -> str:
        """For a terminal."""
        import pandas as pd

        lines = [
            f"{self.name}: {self.finished} of {self.needed} raters finished, {self.answered} ratings, {self.missing} missing, "
            f"{self.per_minute:.1f} a minute" + (f"; and {self.simulated} simulated raters" if self.simulated else "")
        ]
        if len(self.raters):
            lines.append(
                f"{'rater':<8}{'status':<10}{'done':>10}{'s per item':>11}{'hidden s':>10}{'wrong checks':>14}  last answer"
            )
        for r in self.raters.to_dict("records"):
            pace = f"{r['median_s']:.1f}" if pd.notna(r["median_s"]) else ""
            last = str(r["last"])[:16].replace("T", " ") if isinstance(r["last"], str) else ""
            done, checks = f"{r['done']}/{r['of']}", f"{r['wrong']}/{r['checks']}"
            line = f"{r['name']:<8}{r['status']:<10}{done:>10}{pace:>11}{r['hidden_s']:>10.0f}{checks:>14}  {last}"
            lines.append(line + (f"  excluded ({r['excluded']})" if r["excluded"] else ""))
        return "\n".join([*lines, *self.notes])


def overview(study: Study) -> Overview:
    """Gather it all from the database."""

    people = reading.raters(study)
    simulated = int(people["simulated"].astype(bool).sum()) if len(people) else 0
    people = people[~people["simulated"].astype(bool)] if len(people) else people
    table = study.ratings(excluded=True)
    notes = [str(finding) for finding in conduct(table, people)]
    out = study.excluded()
    people = people.assign(excluded=[out.get(name, "") for name in people["name"]])
    rated = table[table["kind"].isin(reading.RATED)]
    each, same = rated.groupby("rater"), rated.groupby(["rater", "score"]).size().groupby("rater")
    checks = rated[rated["correct"].notna()].groupby("rater")["correct"]
    columns = {
        "rated": each.size(),
        "median_s": each["rt_ms"].median() / 1000,
        "pace_s": pace(rated),
        "unseen": rated["served_ms"].isna().groupby(rated["rater"]).sum() if rated["served_ms"].notna().any() else each.size() * 0,
        "hidden_s": each["hidden_ms"].sum() / 1000,
        "corrected": each["revisions"].sum(),
        "checks": checks.size(),
        "wrong": checks.size() - checks.sum().astype(int),
        "same_grade": same.max() / same.sum(),
    }
    people = people.assign(**{k: people["name"].map(v) for k, v in columns.items()})
    for name in ("rated", "corrected", "checks", "wrong", "of", "unseen"):
        people[name] = people[name].fillna(0).astype(int)
    people["hidden_s"] = people["hidden_s"].astype(float).fillna(0.0)
    for name in ("median_s", "pace_s"):
        people[name] = people[name].astype(float)
    kept = [c for c in people.columns if c not in {"simulated", "source", "agreed", "device"}]
    return Overview(
        study.name,
        people[kept].reset_index(drop=True),
        _rate(rated),
        reading.cells(study),
        study.design.raters_to_finish,
        simulated,
        notes,
    )


def _rate(rated: pd.DataFrame, minutes: int = 60) -> pd.DataFrame:
    import pandas as pd

    end = pd.Timestamp(datetime.now(UTC)).floor("min")
    index = pd.date_range(end=end, periods=minutes, freq="min")
    counts = pd.to_datetime(rated["at"], utc=True, format="ISO8601").dt.floor("min").value_counts()
    return pd.DataFrame({"minute": index, "ratings": counts.reindex(index).fillna(0).astype(int).to_numpy()})
