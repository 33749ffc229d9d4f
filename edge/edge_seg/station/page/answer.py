"""What the page's server sends back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
PICTURES = {".jpg": "image/jpeg", ".png": "image/png"}
"""Media types of pictures, by file suffix."""


@dataclass(frozen=True)
class Answer:
    """What is sent back.

    Attributes:
        status: HTTP status.
        body: bytes, or the file that holds them.
        kind: media type.
    """

    status: HTTPStatus
    body: bytes | Path
    kind: str = TEXT


def json_answer(content: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """A JSON answer for programs."""
    return Answer(status, json.dumps(content).encode(), JSON)


def refusal(status: HTTPStatus, why: str) -> Answer:
    """A JSON answer for programs that says why a request is refused."""
    return json_answer({"error": " ".join(why.split())}, status)
