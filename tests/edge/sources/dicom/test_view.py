"""The view in every spelling: AP is recognised, non-frontal views are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pydicom
import pytest
from edge_seg import Film, InputError, Segmenter
from edge_seg.model_file import ModelFile

Read = Callable[..., Film]


def coded(value: str, scheme: str = "SCT", meaning: str = "") -> list[pydicom.Dataset]:
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return [item]


AP: list[dict[str, Any]] = [
    *(
        {"ViewPosition": said}
        for said in ("AP", "ap", "AP SUPINE", "A.P.", "A-P", "Chest AP", "AP_PORTABLE", "APSUPINE")
    ),
    *({"ViewPosition": said} for said in ("ANTERO-POSTERIOR", "ANTERIOR-POSTERIOR", "CHEST ANT-POST", "ANTEROPOST")),
    *({"ViewPosition": said} for said in ("APSUP", "APERECT", ["ERECT", "AP"])),
    {"ViewPosition": "", "ViewCodeSequence": coded("399348003")},
    {"ViewPosition": None, "ViewCodeSequence": coded("R-10206", "SRT")},
    {"ViewPosition": None, "ViewCodeSequence": coded("LOCAL", "99X", "antero-posterior")},
]


@pytest.mark.parametrize("attributes", AP, ids=str)
def test_ap_in_every_spelling(attributes: dict[str, Any], read_with: Read, lungs: ModelFile) -> None:
    film = read_with(**attributes)
    assert film.view == "AP"
    assert any("AP film enlarges the heart" in warning for warning in Segmenter(lungs)(film).warnings)


@pytest.mark.parametrize(
    ("attributes", "view"),
    [
        ({"ViewPosition": "pa "}, "PA"),
        *(({"ViewPosition": said}, "PA") for said in ("P.A.", "PAERECT", "POSTERO-ANTERIOR", "POST ANT")),
        ({"ViewPosition": None, "ViewCodeSequence": coded("272479007")}, "PA"),
        ({"ViewPosition": None, "ViewCodeSequence": coded("399033003", meaning="frontal")}, None),
        ({"ViewPosition": "PA", "ViewCodeSequence": coded("399348003")}, "PA"),
        ({"ViewPosition": ""}, None),
        ({"ViewPosition": None, "ViewCodeSequence": []}, None),
        ({"ViewPosition": "ERECT"}, "ERECT"),
    ],
    ids=str,
)
def test_other_frontal_views_are_no_ap(attributes: dict[str, Any], view: str | None, read_with: Read) -> None:
    assert read_with(**attributes).view == view


@pytest.mark.parametrize(
    ("attributes", "kind"),
    [
        *(({"ViewPosition": said}, "lateral") for said in ("LL", "RL", "ll", "LATERAL", "L LAT", "Lat.", "AP/LAT")),
        *(({"ViewPosition": said}, "lateral") for said in ("LLATERAL", "RT LAT", "LTLAT", "CHESTLAT", "LATEROLATERAL")),
        *(({"ViewPosition": said}, "lateral") for said in (["ERECT", "LL"], ["AP", "LATERAL"])),
        *(({"ViewPosition": said}, "lateral") for said in ("PROFILO", "PERFIL", "PA LATERALE")),
        *(({"ViewPosition": said}, "decubitus") for said in ("LLD", "RLD", "rld", "DECUBITO", "RDECUBITUS")),
        *(({"ViewPosition": said}, "oblique") for said in ("RLO", "LLO", "RAO", "LPO", "PA OBLIQUE", "OBLICUA")),
        *(({"ViewPosition": "", "ViewCodeSequence": coded(code)}, "lateral") for code in ("399067008", "399173006")),
        ({"ViewPosition": None, "ViewCodeSequence": coded("399198007")}, "lateral"),
        ({"ViewPosition": None, "ViewCodeSequence": coded("R-10236", "SRT")}, "lateral"),
        ({"ViewPosition": "PA", "ViewCodeSequence": coded("399067008")}, "lateral"),
        ({"ViewPosition": None, "ViewCodeSequence": coded("X", "99X", "postero-anterior oblique")}, "oblique"),
    ],
    ids=str,
)
def test_what_is_not_frontal_is_refused_in_one_line(attributes: dict[str, Any], kind: str, read_with: Read) -> None:
    with pytest.raises(InputError, match=f"an? {kind} film by its header") as caught:
        read_with(**attributes)
    assert "\n" not in str(caught.value)
