"""The results room: what a run folder holds, and the only code that knows how.

run.json          ``RunInfo``: protocol and digest, methods with digests of code and weights, metrics, faces, machine, times
cells.sqlite      ``Cells``: every cell with the key of what it depends on, written while the run grows
scores.parquet    the long table, one row per cell (``COLUMNS``), derived from the cells
lr/, sr/<label>/  the images
"""

from facesr.bench.results.info import FORMAT, CallInfo, DataInfo, FaceInfo, MethodInfo, MetricInfo, RunInfo
from facesr.bench.results.names import WHOLE_SET, face_problem, label_problem
from facesr.bench.results.run import Progress, Run, load_run, progress
from facesr.bench.results.status import RETRIED, SERVED, Status
from facesr.bench.results.table import COLUMNS

__all__ = [
    "COLUMNS", "FORMAT", "RETRIED", "SERVED", "WHOLE_SET", "CallInfo", "DataInfo", "FaceInfo", "MethodInfo", "MetricInfo", "Progress",
    "Run", "RunInfo", "Status", "face_problem", "label_problem", "load_run", "progress",
]  # fmt: skip
