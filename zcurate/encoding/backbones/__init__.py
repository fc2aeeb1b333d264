"""Pre-trained networks that turn pictures into features. No torch here, so that the plan can ask what is there.

The contract of a kind of network, a line in `plugins.BACKBONES`: its module has `load(name, download) -> Network`. Nothing is downloaded unless `download` is
set; no weights are unpickled.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zcurate import plugins
from zcurate.errors import UsageError
from zcurate.registry import import_object

if TYPE_CHECKING:
    from torch import Tensor

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Environment variables by which the packages of the Hugging Face hub download nothing."""
MIN_SIDE = 24
"""Side from which pictures are encoded by a pre-trained network [pixels]."""
SIDE = 224
"""Side at which pictures are shown to networks that do not say theirs [pixels]."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels of pixels from 0 to 1, as most networks were trained with."""


@dataclass(frozen=True)
class Network:
    """A pre-trained network, ready to be applied on the CPU or moved."""

    apply: Callable[[Tensor], Tensor]
    """Turns (B, 3, side, side) pixels, 0 to 255 in the network's dtype, into (B, V) features; a `torch.nn.Module` is moved to the device."""
    side: int
    """Side at which pictures are shown to it [pixels]."""
    identity: str
    """Says which weights these are, so that features can be kept."""
    bfloat16: bool = True
    """It may be run in bfloat16 where the hardware has it."""


def is_installed(name: str) -> bool:
    """Whether the package of a kind of network is installed; imports nothing.

    Args:
        name: as `--features` has it.
    """
    return importlib.util.find_spec(plugins.backbone_plugin(name).package) is not None


def check(name: str) -> None:
    """Refuse a network whose package is not installed.

    Args:
        name: as `--features` has it.

    Raises:
        UsageError: says what to type.
    """
    backbone = plugins.backbone_plugin(name)
    if not is_installed(name):
        advice = f"pip install {backbone.install}, or try --features none"
        raise UsageError(f"--features {name}: the package {backbone.package} is not installed — expected it beside zcurate — {advice}")


def load(name: str, download: bool) -> Network:
    """Load a pre-trained network.

    Args:
        name: as `--features` has it.
        download: fetch the weights where they are not on this machine.

    Raises:
        UsageError: the package or the weights are not there, or there is no such network.
    """
    check(name)
    backbone = plugins.backbone_plugin(name)
    with offline(not download):
        try:
            importlib.import_module(backbone.package)
        except Exception as error:
            # A release that was built for another torch fails in many ways.
            raise unknown(name, f"the package {backbone.package} fails ({error})") from error
        found: Network = import_object(backbone.location)(name if ".py:" in name else name.partition(":")[2], download)
    return found


@contextmanager
def offline(wanted: bool) -> Iterator[None]:
    """Keep the packages of the Hugging Face hub from downloading while a network is loaded.

    Args:
        wanted: False to let them.
    """
    before = {name: os.environ.get(name) for name in OFFLINE}
    os.environ.update(dict.fromkeys(OFFLINE, "1" if wanted else "0"))
    # The hub's package reads the variable when it is imported.
    constants = sys.modules.get("huggingface_hub.constants")
    was_offline = getattr(constants, "HF_HUB_OFFLINE", None)
    if constants is not None:
        constants.HF_HUB_OFFLINE = wanted  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        if constants is not None:
            constants.HF_HUB_OFFLINE = was_offline  # type: ignore[attr-defined]


def not_here(name: str, error: BaseException | str) -> UsageError:
    """Create the error for weights that are not on this machine.

    Args:
        name: as `--features` has it.
        error: what the package says.
    """
    reason = str(error).strip().partition("\n")[0].partition(". ")[0][:120]
    return UsageError(f"--features {name}: its weights are not on this machine ({reason}) — expected them there — fetch them once with --download")


def unknown(name: str, error: BaseException | str) -> UsageError:
    """Create the error for a network that its package does not know, or cannot build; arguments as for `not_here`."""
    reason = str(error).strip().partition("\n")[0][:160]
    return UsageError(f"--features {name}: cannot be loaded — {reason} — expected a network for pictures, in a release that fits this torch")
