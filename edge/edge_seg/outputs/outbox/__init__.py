"""Results on their way to their receivers: kept until they are taken, however long the network is down.

DICOM results go to an archive: a PACS (`AE@HOST:PORT`) or a DICOMweb service (`https://...`); both need
`pip install '.[clinic]'`. Records go to a webhook (`https://...`) or an MQTT broker (`mqtt://...`, which needs
`pip install '.[mqtt]'`).
"""

from edge_seg.outputs.outbox.address import archive_at, receiver_at
from edge_seg.outputs.outbox.archive import Archive
from edge_seg.outputs.outbox.queue import REASONS_NAME, Outbox

__all__ = ["REASONS_NAME", "Archive", "Outbox", "archive_at", "receiver_at"]
