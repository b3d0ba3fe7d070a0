"""Finding methods and metrics by name: entry points, a user's own file (``my.py:Mine``), ``folder:`` and ``command:``."""
