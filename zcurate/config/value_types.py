"""Value types of the TOML model spec, checked by msgspec; `description` completes the error message `expected ...`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

PositiveInt = Annotated[int, Meta(ge=1, description="a whole number, 1 or more")]
FoldCount = Annotated[int, Meta(ge=2, description="a whole number, 2 or more")]
NonNegative = Annotated[float, Meta(ge=0, description="a number, 0 or more")]
Widths = Annotated[tuple[PositiveInt, ...], Meta(description="a list of whole numbers above 0")]
