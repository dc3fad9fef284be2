"""What a page of a report carries in its packed blocks."""

import base64
import gzip
import json
import re
from typing import Any


def block(page: str, name: str) -> bytes:
    """A block of the page, unpacked as its loader does: gzip in base 85, whose ``<`` is written as a point."""
    text = re.search(rf'id="{name}">([^<]*)<', page)[1]  # type: ignore[index]
    return gzip.decompress(base64.b85decode(text.replace(".", "<")))


def data_of(page: str) -> dict[str, Any]:
    """The data of the page."""
    return json.loads(block(page, "data"))
