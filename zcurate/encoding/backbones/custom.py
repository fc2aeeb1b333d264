"""A user's own network for pictures: `file.py:function`.

The function takes nothing and returns a `torch.nn.Module` or another callable that maps (B, 3, side, side) float32 pixels, 0 to 255, to (B, V) features. Its
attribute `side`, 224 where it has none, is the side at which pictures are shown to it.
"""

from __future__ import annotations

import hashlib

from torch import nn

from zcurate.encoding.backbones import SIDE, Network
from zcurate.encoding.backbones.normalized import fingerprint
from zcurate.errors import UsageError
from zcurate.runtime.user_code import load_function


def load(name: str, download: bool) -> Network:
    """Call the user's function.

    Args:
        name: `file.py:function`.
        download: ignored.

    Raises:
        UsageError: no such function, it fails, or what it returns cannot be called.
    """
    try:
        found = load_function(name, "--features")()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"--features {name}: the function fails — {type(error).__name__}: {str(error)[:120]} — expected one without arguments that returns the network"
        ) from error
    if not callable(found):
        raise UsageError(f"--features {name}: returned {type(found).__name__} — expected a torch.nn.Module, or another function of pictures")
    with open(name.rpartition(":")[0], "rb") as file:
        source = hashlib.blake2b(file.read(), digest_size=8).hexdigest()
    if isinstance(found, nn.Module):
        found = found.eval().requires_grad_(False)
        source += fingerprint(found)
    return Network(found, int(getattr(found, "side", SIDE)), f"{name} {source}", bfloat16=False)
