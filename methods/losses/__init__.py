"""Training losses and the optimiser that several methods share."""
