"""The methods, one folder each; ``bench`` finds them by entry point."""
