"""Sentences that tables, captions and views carry for a method (``Method.notes``)."""

SMALL_WEIGHTS = "small default weights of this project, not the published models"
"""Of every method that runs on the weights that come along."""
