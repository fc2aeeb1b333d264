"""One scale of brightness for a whole data set: which pixel values become black and white.

Decided over all pixels of an array, or over a sample of the picture files; never picture by picture, which would take from the model that one
picture is darker than another.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np

NARROW = 32
"""8-bit pictures with fewer levels between the darkest and the brightest pixel are stretched, masks of 0 and 1 among them; by taste."""
TAIL = 0.001
"""Share of the pixels that may lie beyond each end, where these few would take most of the levels."""
MAX_STRETCH = 4
"""The range of all pixels is used up to this multiple of the range without tails; by taste: what remains has 64 levels."""
MAX_STAND_INS = 4
"""Values that stand for "no value", at most."""
USUAL_RANGES = ((0.0, 1.0), (-1.0, 1.0), *((0.0, 2.0**bits - 1) for bits in range(8, 17)))
"""Ranges that a data set has if it fills more than half of one."""
SAMPLE_PIXELS = 1 << 20
"""Pixels from which the tails are estimated."""


@dataclass(frozen=True)
class Brightness:
    """The pixel values that become 0 and 255."""

    low: float = 0.0
    """Black."""
    high: float = 255.0
    """White."""

    def to_uint8(self, values: np.ndarray) -> np.ndarray:
        """Scale pixel values to uint8; NaN becomes black.

        Args:
            values: any shape and number type.
        """
        if values.dtype == np.uint8 and (self.low, self.high) == (0.0, 255.0):
            return values
        with np.errstate(all="ignore"):
            scaled = (values.astype(np.float64) - self.low) * (255.0 / (self.high - self.low or 1.0))
        return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0, 255).round().astype(np.uint8)


@dataclass
class PixelValues:
    """What is known of the pixel values of a data set; may be added to from several threads."""

    low: float = np.inf
    """Least finite value."""
    high: float = -np.inf
    """Greatest finite value."""
    samples: list[np.ndarray] = field(default_factory=list)
    """Finite values of each part, float64."""
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    """Held while a part is added."""

    def add(self, values: np.ndarray, n_sampled: int = SAMPLE_PIXELS) -> None:
        """Add the pixels of a part of the data set.

        Args:
            values: any shape and number type.
            n_sampled: pixels of it that are kept, about.
        """
        flat = values.reshape(-1)
        sample = flat[:: max(1, flat.size // n_sampled)].astype(np.float64)
        if values.dtype.kind == "f":
            # The least and the greatest value are NaN where any is, so that most parts are not copied.
            is_finite = bool(np.isfinite(flat.min(initial=0)) and np.isfinite(flat.max(initial=0)))
            flat = flat if is_finite else flat[np.isfinite(flat)]
            sample = sample[np.isfinite(sample)]
        with self.lock:
            if flat.size:
                self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
            self.samples.append(sample)

    @property
    def is_wide(self) -> bool:
        """Whether the values found so far differ enough to keep the scale of 8 bits."""
        return self.high - self.low >= NARROW

    def brightness_8_bit(self) -> Brightness:
        """Choose the scale of uint8 pixels: as they are, unless only a few neighboring levels are used."""
        return Brightness() if self.is_wide or self.high <= self.low else Brightness(self.low, self.high)

    def brightness(self) -> Brightness:
        """Choose the scale of pixels of more than 8 bits, floats or booleans."""
        if not self.high > self.low:
            return Brightness(self.low, self.low + 1) if np.isfinite(self.low) else Brightness()
        values = np.concatenate(self.samples)
        values = values[is_measured(values)]
        # Neighbors in order instead of interpolated values, which may overflow.
        tail_low, tail_high = np.quantile(values, [TAIL, 1 - TAIL], method="nearest").tolist() if len(values) else [self.low, self.high]
        if tail_high > tail_low and (self.high - self.low) > MAX_STRETCH * (tail_high - tail_low):
            return Brightness(tail_low, tail_high)
        for low, high in USUAL_RANGES:
            if low <= self.low and self.high <= high and self.high - self.low >= (high - low) / 2:
                return Brightness(low, high)
        return Brightness(self.low, self.high)


def is_measured(values: np.ndarray) -> np.ndarray:
    """Mark the values that are no stand-ins for "no value", such as -32768 around a CT slice or -9999 in an elevation map, (n,) bool.

    A stand-in is a single least or greatest value that is further from all others than these are from each other.

    Args:
        values: (n,) finite.
    """
    distinct = np.unique(values)
    low, high = 0, len(distinct) - 1
    for _ in range(MAX_STAND_INS):
        if high - low < MAX_STRETCH:
            break
        inner_low, inner_high = float(distinct[low + 1]), float(distinct[high - 1])
        if inner_low - float(distinct[low]) > MAX_STRETCH * (float(distinct[high]) - inner_low):
            low += 1
        elif float(distinct[high]) - inner_high > MAX_STRETCH * (inner_high - float(distinct[low])):
            high -= 1
        else:
            break
    return (values >= distinct[low]) & (values <= distinct[high]) if len(distinct) else np.zeros(0, bool)
