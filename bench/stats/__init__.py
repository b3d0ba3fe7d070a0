"""Pure functions on arrays: means, intervals, tests, agreement, screening, power."""
