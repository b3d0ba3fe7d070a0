"""A MOS study: design, database, export, import. No web code here; the rating page is in ``facesr.dashboard.rating``."""

from facesr.bench.study.study import Study, load_study

__all__ = ["Study", "load_study"]
