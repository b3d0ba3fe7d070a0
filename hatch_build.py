"""The README as a package index shows it, which knows no folder of ours: read by hatchling when it builds an archive."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


def on_an_index(text: str, source: str) -> str:
    """Links into the repository with the address ``source`` before them; without one, links as their words and pictures left out."""
    if source:
        return re.sub(r"\]\((?![a-z]+:|#)", rf"]({source.rstrip('/')}/", text)
    text = re.sub(r"^!\[[^]]*\]\((?![a-z]+:)[^)]*\)\n+", "", text, flags=re.MULTILINE)
    return re.sub(r"\[([^]]*)\]\((?![a-z]+:|#)[^)]*\)", r"\1", text)


class Readme(MetadataHookInterface):
    """Sets ``readme``; the address is ``Files`` of ``[project.urls]``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """See hatchling."""
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        files = metadata.get("urls", {}).get("Files", "")
        metadata["readme"] = {"content-type": "text/markdown", "text": on_an_index(text, files)}
