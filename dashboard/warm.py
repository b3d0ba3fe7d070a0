"""Compute the first view of every page while nobody waits for it, so that opening one is only drawing it."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from functools import partial

from facesr.dashboard.scene import Scene
from facesr.dashboard.sources import open_sources
from facesr.dashboard.views import attributes, compare, consistency, faces, identity, leaderboard, mos, people, plane, sweep


def warm_page() -> None:
    """Every page of every group, the leaderboards first. A page that cannot be drawn says why when it is opened, not here."""
    shown = open_sources()
    scenes = [Scene(group) for group in shown.groups]
    views: list[Callable[[Scene], None]] = [leaderboard.warm, faces.warm, compare.warm, consistency.warm, identity.warm]
    views += [attributes.warm, sweep.warm, plane.warm]
    works: list[Callable[[], None]] = [partial(view, scene) for view in views for scene in scenes]
    works += [mos.warm, partial(people.warm, shown)]
    for work in works:
        try:
            work()
        except Exception:
            continue
        finally:
            _settle()


def _settle() -> None:
    """Take what is there out of the collector's sight: Streamlit collects all garbage after every run of the script, and walking through
    every module and kept table each time takes longer than the script itself.
    """
    gc.collect()
    gc.freeze()


def start_warming() -> threading.Thread:
    """In the background; whoever opens a page meanwhile waits for what is being computed, and computes nothing twice."""
    thread = threading.Thread(target=warm_page, name="warm", daemon=True)
    thread.start()
    return thread
