"""What stands wherever a result leaves the program."""

RESEARCH_USE = "Research use only, not for diagnosis"
"""On every record, overlay, DICOM object, page and report."""
