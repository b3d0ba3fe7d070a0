"""The columns of a long table of ratings: one row per rating, whoever collected it."""

from __future__ import annotations

COLUMNS: dict[str, str] = {
    "rater": "name of the rater in this study: r001 for people, s001 for simulated ones, or the id found in an imported file",
    "face": "name of the face, '' for an attention item",
    "condition": "method label, 'hr' or 'nearest'; in paired comparison the left image",
    "other": "the right image in paired comparison, else ''",
    "score": "grade on the design's scale; in paired comparison 1 left, 2 right, 3 tie; NaN for anchors, which are seen and not rated",
    "kind": "main | anchor_low | anchor_high | repeat | gold | attention; imported also training | duplicate | again",
    "position": "place in the rater's session, from 1; 0 where unknown",
    "rt_ms": "milliseconds from the moment the image was shown to the answer; NaN where unknown",
    "at": "when the server stored the answer, ISO 8601, UTC; as written in the file for imported ratings",
    "simulated": "true for a simulated rater; such rows never meet people's",
    "correct": "gold and attention items: whether the answer was right; else empty",
    "first_score": "the first answer, where it was corrected at once; else equal to score",
    "revisions": "number of corrections",
    "device_pixels": "screen pixels that one image pixel covered; NaN where unknown",
    "served_ms": "milliseconds from the moment the server first sent the image to the answer's arrival, by its own clock; NaN where it never did",
    "hidden_ms": "milliseconds the page was hidden while the item was shown",
}
"""Columns of the ratings table, as ``Study.ratings`` returns it and as an export writes it.

Kinds of imported ratings: ``repeat`` was shown again on purpose, ``duplicate`` is one showing stored twice, ``again`` is a second answer of
which the file does not say which of the two it is, or one given in a later sitting. Only ``main`` rows make MOS.
"""

UNUSED: dict[str, str] = {
    "row": "row of the file, counted as a spreadsheet shows it (the header is row 1)",
    "column": "column of the file that holds the cell",
    "value": "the cell as written",
    "rater": "rater of the row, '' where it has none",
    "face": "face of the row",
    "condition": "condition of the row",
    "reason": "why the cell is not used",
    "kind": "empty | missing | text | outside | id | left out | second | other",
}
"""Columns of the list of cells that were not used."""
