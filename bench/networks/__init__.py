"""Networks that metrics and losses share, as plain torch modules with the published state-dict names. They load no files."""
