"""Figures, one file a kind. Each function takes plain data and returns a ``Drawing`` that saves itself as PDF, SVG and PNG."""

from facesr.reports.figures.style import Drawing, MethodStyle

__all__ = ["Drawing", "MethodStyle"]
