"""Value types of the TOML model spec, checked by msgspec; `description` completes the error message `expected ...`.

The upper bounds are far above any use: they keep a slip of the finger from asking for all the memory there is.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1 000 000")]
EpochCount = Annotated[int, Meta(ge=0, le=1000, description="a whole number from 0 to 1000")]
SmallCount = Annotated[int, Meta(ge=1, le=4096, description="a whole number from 1 to 4096")]
RoundCount = Annotated[int, Meta(ge=1, le=64, description="a whole number from 1 to 64")]
FoldCount = Annotated[int, Meta(ge=2, le=64, description="a whole number from 2 to 64")]
NonNegative = Annotated[float, Meta(ge=0, description="a number, 0 or more")]
Factor = Annotated[float, Meta(ge=0, le=1000, description="a number from 0 to 1000")]
Share = Annotated[float, Meta(ge=0, le=1, description="a share from 0 to 1")]
Percentage = Annotated[float, Meta(ge=0, le=100, description="a percentage from 0 to 100")]
DropShare = Annotated[float, Meta(ge=0, lt=1, description="a share from 0 to below 1")]
Width = Annotated[int, Meta(ge=1, le=16_384)]
Widths = Annotated[tuple[Width, ...], Meta(max_length=64, description="a list of at most 64 whole numbers from 1 to 16 384")]
