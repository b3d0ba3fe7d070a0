"""``facesr.Study``: a MOS study with people, from the images of a run to its analysis."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facesr.bench import study as rooms
from facesr.bench.errors import FaceSRError
from facesr.bench.study import ending
from facesr.bench.study.address import host_of, remembered
from facesr.bench.study.analysis import Analysis, PairedAnalysis, analyse_study
from facesr.bench.study.check import changed_files
from facesr.bench.study.closing import Seal
from facesr.bench.study.create import create
from facesr.bench.study.crowd import carry_out_rules
from facesr.bench.study.export import export
from facesr.bench.study.simulate import simulate
from facesr.running import Run, load

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Study:
    """A study's folder. Make one with ``Study.create``, open one with ``Study.load``; ``folder`` has its frozen design and its plan."""

    folder: rooms.Study

    @classmethod
    def create(
        cls, run: Run | Path | str, out: Path | str = "studies/study", *, database: str | None = None, **options: Any
    ) -> Study:
        """Freeze the design of a study of ``run`` in the new folder ``out``.

        ``options`` are those of ``facesr study create``: ``raters``, ``images``, ``anchors``, ``conditions``, ``method`` (``acr``, ``acr-hr``,
        ``pair``), ``scale``, ``analysis`` (entries of the analysis plan) and so on; what is not given comes from the run's protocol.
        ``database``: the URL of a PostgreSQL database, in place of SQLite in the folder. Raises one ``FaceSRError`` with every problem, and then
        leaves nothing on disk.
        """
        found = run if isinstance(run, Run) else load(run)
        return cls(create(found.folder, Path(out), options=options, database=database))

    @classmethod
    def load(cls, path: Path | str, database: str | None = None) -> Study:
        """Open a study's folder; ``database``: its URL, where it is not the one noted there. Raises ``FaceSRError`` for a folder that is none,
        or is damaged."""
        return cls(rooms.load_study(Path(path), database))

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.folder.path

    def serve(
        self, host: str = "127.0.0.1", port: int = 8501, *, runs: Sequence[Path | str] = (), watching: bool = True,
        address: str = "", proxies: str = "127.0.0.1", password: str | None = None,
    ) -> None:  # fmt: skip
        """Serve the rating page until stopped, and behind a login the watching page.

        ``runs``: run folders to show behind the login. ``watching``: False leaves the watching page out. ``address``: the host name by which
        organisers reach the pages through a proxy; by default that of the address remembered at ``create``. ``proxies``: addresses of proxies
        whose forwarded headers are believed. ``password`` of the watching page: ``FACESR_ADMIN_PASSWORD`` where it is None, else one is made
        and printed.
        """
        from facesr.dashboard.serve import serve, study_app

        given = password if password is not None else os.environ.get("FACESR_ADMIN_PASSWORD")
        problems = (
            [f"the study's images are not the frozen ones: {'; '.join(wrong[:5])}"] if (wrong := changed_files(self.folder)) else []
        )
        if (self.path / "texts").exists() and self.folder.design.texts:
            problems.append(
                f"{self.path / 'texts'}: texts are frozen with the study and not read from there; give them to 'create' with --texts"
            )
        if given is not None and not given.strip():
            problems.append("FACESR_ADMIN_PASSWORD is empty: give a password, or unset it and one is made")
        if not 1 <= port <= 65535:
            problems.append(f"--port {port} is no port: give 1 to 65535, such as 8501")
        if address and not re.fullmatch(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}", address):
            problems.append(f"--address {address!r} is no host name: give the name alone, such as study.example.org")
        if problems:
            raise FaceSRError("; ".join(problems))
        _ = self.folder.engine, self.folder.words("en")  # a damaged database or text is reported before anything is served
        carry_out_rules(self.folder)
        ending.carry_out(self.folder)
        made, public = given or secrets.token_urlsafe(9), remembered(self.path)
        address = address or host_of(public)
        app = study_app(self.folder, password=made, runs=[Path(r) for r in runs], streamlit=watching, address=address, port=port)
        lines = [f"public       {public}"] if public else []
        lines += [f"rating page  http://{host}:{port}/rate/  (personal links: facesr study invite {self.path})"]
        if watching:
            shown = "from FACESR_ADMIN_PASSWORD" if given and password is None else made
            lines.append(f"watching     http://{host}:{port}/  password: {shown}")
        if host not in {"127.0.0.1", "localhost", "::1"}:
            lines.append("raters need https: put a proxy with a certificate in front (docs/mos-study.md)")
        print(*lines, sep="\n", flush=True)  # noqa: T201
        serve(app, host, port, proxies=proxies)

    def ratings(self, *, simulated: bool = False) -> pd.DataFrame:
        """The ratings that count, one row each: rater, face, condition, score, kind, ...; ``simulated``: of simulated raters instead."""
        return self.folder.ratings(simulated=simulated)

    def simulate(self, raters: int | None = None, mos: dict[str, float] | None = None, *, seed: int = 0) -> list[str]:
        """Add simulated raters, labelled as such and never counted with people; ``mos``: true means by condition. Returns their names."""
        return list(simulate(self.folder, raters or self.folder.design.raters, mos, seed=seed))

    def analyse(self, *, peek: bool = False, simulated: bool = False, ordinal: bool = False) -> Analysis | PairedAnalysis:
        """MOS with intervals, every pair's tests, agreement, screening and what was planned and done (``.conditions``, ``.pairs``, ...).

        Refused before the declared stopping rule is met, unless ``peek``, which is logged. ``simulated``: of simulated raters.
        ``ordinal``: the ordinal mixed model too, as a sensitivity analysis (slow, extra ``clmm``).
        """
        return analyse_study(self.folder, peek=peek, simulated=simulated, ordinal=ordinal)

    def export(self, out: Path | str, *, simulated: bool = False, peek: str = "") -> list[Path]:
        """Write the ratings as CSV and Parquet, with a manifest and a data dictionary, into the folder ``out``; returns the files.

        Refused before the declared stopping rule is met, unless ``peek`` gives a reason, which is logged.
        """
        study = self.folder
        if not simulated and not study.may_show_means():
            if not peek:
                raise FaceSRError(
                    f"{study.finished()} of {study.design.raters_to_finish} raters have finished, so the ratings stay closed: "
                    "wait, or export now with --peek REASON, which is logged"
                )
            study.peek("facesr study export", peek)
        return export(study, Path(out), simulated=simulated)

    def end(self, reason: str = "") -> Seal:
        """End the collection for good and freeze the sha256 of ratings and texts; ``reason``: needed before the stopping rule is met."""
        carry_out_rules(self.folder)
        return self.folder.end(reason)
