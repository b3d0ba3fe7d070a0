"""FaceSR-Bench: compare face super-resolution methods, run human MOS studies, print the tables of a paper."""

__version__ = "0.1.0"
