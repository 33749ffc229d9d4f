"""The notice on every result."""

RESEARCH_USE = "Research use only, not for diagnosis"
"""On every record, overlay, DICOM object, page and report."""
