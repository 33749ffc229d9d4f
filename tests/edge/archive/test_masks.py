"""Run-length masks decode to the same masks, and COCO's tools can read them."""

from __future__ import annotations

import numpy as np
import pytest
from edge_seg.archive import decode_mask, encode_mask
from edge_seg.errors import InputError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))


def value(mask: np.ndarray) -> dict[str, object]:
    return {"height": mask.shape[0], "width": mask.shape[1], "runs": encode_mask(mask)}


@given(MASKS)
def test_a_mask_is_itself_again(mask: np.ndarray) -> None:
    again = decode_mask(value(mask))
    assert again.dtype == bool
    assert np.array_equal(again, mask)


@given(MASKS)
def test_cocos_tools_read_the_runs(mask: np.ndarray) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    height, width = mask.shape
    packed = coco.frPyObjects({"size": [height, width], "counts": encode_mask(mask).tolist()}, height, width)
    assert np.array_equal(coco.decode(packed).astype(bool), mask)


@given(MASKS, st.integers(-3, 3).filter(bool))
def test_runs_of_another_size_are_refused(mask: np.ndarray, more: int) -> None:
    wrong = value(mask)
    wrong["runs"] = [*encode_mask(mask)[:-1].tolist(), int(encode_mask(mask)[-1]) + more]
    with pytest.raises(InputError, match="damaged"):
        decode_mask(wrong)
