"""A run as a bundle that travels: a run folder of its own, without anything of the machine it was made on, that others can check."""

from __future__ import annotations

from facesr.reports.export.bundle import Exported, Publication, export_run

__all__ = ["Exported", "Publication", "export_run"]
