"""PNG pictures of results, in the way that costs least time: a film should not wait for zlib."""

from __future__ import annotations

import cv2
import numpy as np


def encode_png(picture: np.ndarray) -> bytes:
    """A PNG file.

    Masks are runs of two values, which run-length coding without a filter makes both smallest and fastest. For the rows
    of an overlay one filter is nearly as small as the best of all for each row, which OpenCV would look for.

    Args:
        picture: `(height, width)` of 0 and 255, a mask, or `(height, width, 3)` in OpenCV's channel order; uint8.
    """
    mask = picture.ndim == 2
    wanted = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    wanted += [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE if mask else cv2.IMWRITE_PNG_STRATEGY_DEFAULT]
    # OpenCV before 4.12 chooses the filter of each row itself.
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):
        wanted += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE if mask else cv2.IMWRITE_PNG_FILTER_SUB]
    return cv2.imencode(".png", picture, wanted)[1].tobytes()
