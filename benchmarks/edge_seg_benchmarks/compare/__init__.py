"""Comparison of reports, and the limits at which it fails."""
