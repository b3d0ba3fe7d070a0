"""The engine of FaceSR-Bench: protocols, runs, metrics, statistics and studies. Knows no method by name, prints nothing."""
