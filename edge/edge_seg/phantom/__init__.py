"""A synthetic chest film with exact outlines: for the demonstration, the README and every test without private data."""

from edge_seg.phantom.anatomy import Anatomy, draw_anatomy
from edge_seg.phantom.dicom import write_dicom
from edge_seg.phantom.film import Phantom, phantom

__all__ = ["Anatomy", "Phantom", "draw_anatomy", "phantom", "write_dicom"]
