"""Results on their way to an archive: kept until it has taken them, however long the network is away.

Needs `pip install '.[clinic]'`. The archive is a PACS (`AE@HOST:PORT`) or a DICOMweb service (`https://...`).
"""

from edge_seg.outputs.outbox.address import archive_at
from edge_seg.outputs.outbox.archive import Archive
from edge_seg.outputs.outbox.queue import REASONS_NAME, Outbox

__all__ = ["REASONS_NAME", "Archive", "Outbox", "archive_at"]
