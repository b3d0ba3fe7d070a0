"""Pixels: lossless files, colour, and the one named resampler per degradation."""
