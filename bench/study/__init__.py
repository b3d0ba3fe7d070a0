"""A MOS study: design, database, export, import. No web code."""
