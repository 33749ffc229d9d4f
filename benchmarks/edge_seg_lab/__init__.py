"""Produces this project's own tables and pages; not part of the wheel."""
