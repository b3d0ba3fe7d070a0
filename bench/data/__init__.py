"""Where HR faces come from: data sets, splits, preparation, alignment, demo faces."""
