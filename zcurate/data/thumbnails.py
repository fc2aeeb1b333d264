"""Small pictures as data URIs, for pages and annotation tools."""

from __future__ import annotations

import base64
import io


def data_uri(path: str, side: int, quality: int = 75) -> str:
    """Return a picture file as a data URI of a reduced JPEG; empty for one that cannot be read.

    Args:
        path: of the file.
        side: longest side [pixels].
        quality: of the JPEG, 1 to 95.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened:
            opened.draft("RGB", (side, side))
            image = opened.convert("RGB")
    except Exception:
        # Pillow raises many types for broken files.
        return ""
    image.thumbnail((side, side))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
