"""A study folder: ``study.json`` (frozen), ``stimuli/<opaque>.png`` and ``ratings.db``, or the address of a PostgreSQL database."""

from __future__ import annotations

import json
import os
import secrets
import weakref
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from facesr.bench.errors import FaceSRError
from facesr.bench.ratings.columns import COLUMNS
from facesr.bench.reading import read_json, read_text
from facesr.bench.study import closing, ending, imported, reading, tables, wording
from facesr.bench.study.database import connect, holds_study, migrate, private, writing
from facesr.bench.study.design import Design, from_json
from facesr.bench.study.health import damage
from facesr.bench.study.noted import database_of, trust_database
from facesr.bench.study.pairs import wins
from facesr.bench.study.plan import AnalysisPlan
from facesr.bench.study.rules import violations
from facesr.bench.study.stopping import level_now
from facesr.bench.study.store import log_event

__all__ = ["COLUMNS", "Study", "load_study"]

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine


@dataclass(frozen=True)
class Study:
    """A study on disk. An imported study has ``ratings.parquet`` instead of a database, and no design."""

    path: Path
    info: dict[str, Any]
    url: str = ""
    _engines: list[Engine] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, _close, self._engines)  # who forgets to close a study leaves no connection open

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.info["name"])

    @property
    def digest(self) -> str:
        """sha256 over design and plan."""
        return str(self.info["digest"])

    @property
    def imported(self) -> bool:
        """Whether the ratings came from another program's file."""
        return self.info.get("kind") == "import"

    @cached_property
    def design(self) -> Design:
        """The frozen design; a changed file or an imported study is refused with one sentence."""
        if self.imported:
            raise FaceSRError(f"{self.path} holds imported ratings, which have no design of ours")
        return from_json(self.info, self.path / "study.json")

    @property
    def method(self) -> str:
        """acr | acr-hr | pair; imported ratings are acr or pair."""
        return str(self.info.get("method", "acr")) if self.imported else self.design.method

    @property
    def scale(self) -> tuple[int, int]:
        """Lowest and highest grade."""
        low, high = self.info["scale"]
        return int(low), int(high)

    @cached_property
    def plan(self) -> AnalysisPlan:
        """The analysis plan that was frozen with the design; of imported ratings the one given at the import, else the usual one."""
        return imported.plan(self.info, self.path / "study.json") if self.imported else self.design.analysis

    @property
    def analysis(self) -> dict[str, Any]:
        """The plan's entries as a table; empty for imported ratings that none was declared for."""
        return {} if self.imported and not self.info.get("declared") else asdict(self.plan)

    @property
    def reference(self) -> str | None:
        """The condition that DMOS is taken from: HR in ACR with hidden reference, or what was named at the import."""
        if self.imported:
            return self.info.get("reference")
        return "hr" if self.method == "acr-hr" else None

    @property
    def alpha(self) -> float:
        """The level that holds now, before correction over pairs: the plan's, or the nominal one of the latest look of a sequential plan."""
        if self.plan.stopping.kind == "fixed" or self.imported:
            return self.plan.alpha
        # Before the first look only a rehearsal or a logged peek sees anything: it is shown at the level of the end.
        return self.level_at(self.raters_looked_at() or self.design.raters)

    def level_at(self, raters: int) -> float:
        """The level for all pairs together at a look after so many raters."""
        conditions = len(self.design.conditions)
        return level_now(self.plan.stopping, self.plan.alpha, raters, self.design.raters, conditions * (conditions - 1) // 2)

    @property
    def engine(self) -> Engine:
        """The database, opened, brought up to date and checked to belong to this design."""
        if not self._engines:
            self._engines.append(self._open())
        return self._engines[0]

    def _open(self) -> Engine:
        _ = self.design
        file = self.url.removeprefix("sqlite:///") if self.url.startswith("sqlite:///") else ""
        if file and not Path(file).exists():
            raise FaceSRError(f"{file} is missing, and with it the ratings: put it back from a copy")
        engine = connect(self.url)
        try:
            self._check(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _check(self, engine: Engine) -> None:
        """Raise where the database is no sound one of this study; its tables are brought up to date."""
        if holds_study(engine):  # nothing is made in a database that was named by mistake
            migrate(engine)
        elif engine.dialect.name != "sqlite":
            raise FaceSRError(f"the database of {self.path} holds no study: check --database")
        if wrong := damage(engine):
            raise FaceSRError(
                f"the database of {self.path} is damaged ({wrong}): it was left as it is; put it back from a copy, or save what can be read with "
                f"'facesr study rescue {self.path} --out NEW'"
            )
        with engine.connect() as connection:
            digest = connection.execute(select(tables.study.c.digest)).scalars().first()
        if digest is None:
            raise FaceSRError(f"the database of {self.path} is empty: it is not the one the study was created with")
        if digest != self.digest:
            raise FaceSRError(
                f"the database belongs to another study (digest {digest[:12]}, not {self.digest[:12]}): check --database"
            )

    @cached_property
    def secret(self) -> bytes:
        """A key of this study, for pseudonyms, completion codes and logins; a private file beside the design."""
        file = self.path / "secret.key"
        if not file.exists():
            temporary = self.path / f".secret.{os.getpid()}"
            private(temporary, secrets.token_hex(32))
            temporary.replace(file)
        key = read_text(file).strip()
        if len(key) < 32:
            raise FaceSRError(f"{file} is damaged: it must hold the key the study was begun with; put it back from a copy")
        return key.encode()

    def stimulus_path(self, name: str) -> Path:
        """The PNG of an opaque name."""
        return self.path / "stimuli" / f"{name}.png"

    @property
    def scores(self) -> tuple[int, ...]:
        """Answers a rater can give."""
        if self.method == "pair":
            return (1, 2, 3) if self.imported or self.design.ties else (1, 2)
        return tuple(range(self.scale[0], self.scale[1] + 1))

    def ratings(self, *, simulated: bool = False, excluded: bool = False) -> pd.DataFrame:
        """The ratings with the columns of ``COLUMNS``: people's, or with ``simulated`` the simulated ones, never both.

        Raters who were replaced, or left out by the plan's rules or by hand, are missing unless ``excluded`` is set; so are those who
        finished after the latest look of a group-sequential plan, or after the look that ended the collection.
        Closed ratings that were changed since are refused.
        """
        if self.imported:
            if simulated:
                raise FaceSRError(f"{self.path} holds imported ratings of people, no simulated ones")
            table = imported.imported_ratings(self.path)
            left_out = [] if excluded else list(imported.excluded(self.path, self.plan, table))
            return table[~table["rater"].isin(left_out)].reset_index(drop=True)
        if not excluded and not simulated and (changed := closing.changed_since(self)):
            raise FaceSRError(f"{self.path}: {changed}")
        table = reading.ratings(self, simulated=simulated, excluded=True)
        if excluded:
            return table
        out = set(self._excluded(table, simulated))
        if not simulated and (self.plan.stopping.kind == "group-sequential" or self.ended):
            out |= set(table["rater"]) - set(self._finishers(out)[: self.raters_looked_at()])
        return table[~table["rater"].isin(out)].reset_index(drop=True)

    def excluded(self, *, simulated: bool = False) -> dict[str, str]:
        """Raters who are left out, with the reasons: by the plan's rules, which are carried out here, or by hand."""
        return self._excluded(self.ratings(simulated=simulated, excluded=True), simulated)

    def _excluded(self, table: pd.DataFrame, simulated: bool) -> dict[str, str]:
        if self.imported:
            found = imported.excluded(self.path, self.plan, table)
        else:
            people = reading.raters(self)
            people = people[people["simulated"].astype(bool) == simulated]
            found = {n: dict(v) for n, v in reading.exclusions(self).items() if n in set(people["name"])}
            for name, broken in violations(self.plan.exclude_raters, table, people).items():
                found[name] = {**broken, **found.get(name, {})}
        return {name: "; ".join(f"{rule}: {why}" if why else rule for rule, why in rules.items()) for name, rules in found.items()}

    def _finishers(self, out: Collection[str]) -> list[str]:
        """People who finished and count, in the order of finishing."""
        people = reading.raters(self)
        done = people[(people["status"] == "done") & ~people["simulated"].astype(bool) & ~people["name"].isin(list(out))]
        return [str(n) for n in done.sort_values(["finished", "name"])["name"]]

    def finished(self, *, simulated: bool = False) -> int:
        """How many raters count towards the stopping rule: they finished and are not left out."""
        if self.imported:
            return int(self.ratings()["rater"].nunique())
        table, out = reading.raters(self), self.excluded(simulated=simulated)
        done = (table["status"] == "done") & (table["simulated"].astype(bool) == simulated) & ~table["name"].isin(list(out))
        return int(done.sum())

    @property
    def ended(self) -> ending.Look | None:
        """The look at which the plan's stopping rule was met; None before, and under a fixed plan."""
        if self.imported or self.plan.stopping.kind == "fixed":
            return None
        return next(iter(ending.looks(self, ending.MET)), None)

    def raters_looked_at(self) -> int:
        """Raters at the latest look, and at the one that ended the collection once that was so; under a fixed plan all who finished.

        0 before the first look of a group-sequential plan.
        """
        if ended := self.ended:
            return ended.raters
        return self.look_due() if self.plan.stopping.kind == "group-sequential" else self.finished()

    def look_due(self) -> int:
        """Raters at the latest look that the plan allows by now; 0 before the first, and under a fixed plan."""
        rule, finished = self.plan.stopping, self.finished()
        if rule.kind == "always-valid":
            return finished if finished >= self.design.raters_to_finish else 0
        return max((n for n in rule.looks if n <= finished), default=0)

    def first_finishers(self, raters: int) -> pd.DataFrame:
        """Ratings of the first so many people to finish of those who count."""
        table = self.ratings(excluded=True)
        return table[table["rater"].isin(self._finishers(self._excluded(table, simulated=False))[:raters])].reset_index(drop=True)

    def complete(self) -> bool:
        """Whether the collection may end by the plan: its rule is met, or as many have finished as a fixed plan asks for, or all places."""
        if self.plan.stopping.kind == "fixed":
            return self.may_show_means()
        return self.ended is not None or self.finished() >= self.design.raters

    @property
    def citation(self) -> str:
        """What a table cites: the design's digest and, once the study is closed, the sha256 of its ratings."""
        if self.imported:
            return f"digest {self.digest[:12]}, imported ratings"
        sealed = closing.seal_of(self)
        closed = f"closed {sealed.at[:10]}, sha256 of the ratings {sealed.ratings_sha256[:12]}" if sealed else "not closed"
        return f"digest {self.digest[:12]}, {closed}"

    def words(self, locale: str) -> tuple[str, dict[str, str]]:
        """The language offered that fits ``locale`` best, and its texts; what a newer page needs beyond them is built in."""
        texts = self.design.texts or wording.freeze(self.path / "texts" if (self.path / "texts").is_dir() else None, None)
        chosen = wording.fitting(locale, list(texts))
        return chosen, {**wording.builtin("en"), **wording.builtin(chosen), **texts[chosen]}

    def may_show_means(self) -> bool:
        """The stopping rule: True once as many people as the plan demands have finished, or the study was closed. Imports are finished."""
        return self.imported or self.finished() >= self.design.raters_to_finish or closing.seal_of(self) is not None

    def end(self, reason: str = "") -> closing.Seal:
        """End the collection for good and freeze ratings and texts. Before the stopping rule is met a reason is demanded, which reports print."""
        if closing.seal_of(self):
            raise FaceSRError(f"{self.path} was closed already; a closed study is not opened again")
        ending.carry_out(self)
        if not self.complete() and not reason.strip():
            needed = self.design.raters_to_finish if self.plan.stopping.kind == "fixed" else self.design.raters
            raise FaceSRError(
                f"{self.finished()} of {needed} raters have finished{'' if self.plan.stopping.kind == 'fixed' else ' and the rule is not met'}: "
                "to close now, give --reason, which reports print"
            )
        return closing.seal(self, self.design.texts, reason.strip())

    def peek(self, who: str, reason: str) -> None:
        """Note that someone looked at means before the stopping rule was met; exports and reports carry the note."""
        with writing(self.engine) as connection:
            log_event(connection, "peek", who=who, reason=reason, finished=self.finished())

    def peeks(self) -> list[Mapping[str, Any]]:
        """Every early look at the means: ``at``, ``who``, ``reason``, and how many raters had finished."""
        if self.imported:
            return []
        with self.engine.connect() as connection:
            rows = connection.execute(
                select(tables.event.c.at, tables.event.c.detail).where(tables.event.c.kind == "peek").order_by(tables.event.c.id)
            ).all()
        return [{"at": at, **json.loads(detail)} for at, detail in rows]

    def means(self, *, simulated: bool = False) -> dict[str, float]:
        """MOS of each condition (share of wins in paired comparison). Ask ``may_show_means`` first, or ``peek``."""
        table = self.ratings(simulated=simulated)
        if self.method == "pair":
            names, won = wins(table, self.design.conditions)
            total = won.sum(0)
            return {n: float(total[i].sum() / max(1.0, total[i].sum() + total[:, i].sum())) for i, n in enumerate(names)}
        main = table[table["kind"] == "main"]
        return {str(c): float(m) for c, m in main.groupby("condition")["score"].mean().items()}

    def close(self) -> None:
        """Give the database connections back."""
        _close(self._engines)


def _close(engines: list[Engine]) -> None:
    while engines:
        engines.pop().dispose()


def load_study(path: Path | str, database: str | None = None) -> Study:
    """Open a study folder. ``database``: its URL, where it is neither ``ratings.db`` nor noted in ``database.url``; it is remembered."""
    folder = Path(path)
    file = folder / "study.json"
    if not file.exists():
        raise FaceSRError(f"{folder} is not a study: it has no study.json; 'facesr study create RUN' makes one")
    info = read_json(file)
    if info.get("kind") not in ("study", "import"):
        raise FaceSRError(f"{file} is not a study's description: it lacks kind 'study' or 'import'")
    _check(info, file)
    if info["kind"] == "import":
        brought = Study(folder, imported.described(info, file))
        _ = brought.plan  # as of a design: what is wrong is said before anything else is done with it
        return brought
    if database:
        trust_database(info["digest"], database)
    study = Study(folder, info, database or database_of(folder, info["digest"]))
    _ = study.design  # a damaged or changed design is refused before anything else is done with it
    return study


def _check(info: Mapping[str, Any], file: Path) -> None:
    """What every reader of a description relies on; the rest is checked with its digest."""
    scale = info.get("scale")
    whole = isinstance(scale, list) and len(scale) == 2 and all(isinstance(v, int | float) for v in scale)
    if not whole or not all(isinstance(info.get(k), str) for k in ("name", "digest")):
        raise FaceSRError(f"{file} is damaged: a study's description has name, digest and scale; put the original back")
    try:
        json.dumps(info, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate, which no file or page can hold
        raise FaceSRError(f"{file} is damaged: it holds text that is no Unicode; put the original back") from None
