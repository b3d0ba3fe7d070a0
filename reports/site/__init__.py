"""A static leaderboard of many runs: plain HTML pages that need no script, no server and nothing from anywhere.

submissions  what was handed in: a run or bundle, and the record of its check
ranking      places with ties and intervals
pages        the pages
"""

from __future__ import annotations

from facesr.reports.site.pages import Site, write_site

__all__ = ["Site", "write_site"]
