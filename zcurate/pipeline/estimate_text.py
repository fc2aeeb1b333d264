"""An estimate of time and memory as text, and as JSON."""

from __future__ import annotations

from zcurate.config.units import format_size
from zcurate.errors import listed
from zcurate.pipeline.cost_model import Estimate


def estimate_lines(found: Estimate) -> list[str]:
    """Format an estimate as lines of text."""
    model, seconds = found.model, found.seconds
    hidden = "x".join(str(width) for width in model["hidden"]) if isinstance(model["hidden"], list) and model["hidden"] else "no hidden layer"
    auxiliary = f"; auxiliary models {listed(list(model['ensemble']))}" if isinstance(model["ensemble"], list) and model["ensemble"] else ""
    stages = ", ".join(f"{name} {format_duration(value)}" for name, value in seconds.items() if name != "total")
    return [
        f"rows      {found.n_rows if found.is_exact else f'about {found.n_rows}, extrapolated from the first ones'}",
        f"model     {model['name']} {hidden}, {model['inputs']} inputs, {model['outputs']} outputs, {model['dtype']}",
        f"training  {model['rounds']} rounds of {model['members']} members, {model['epochs']} epochs, batch size {model['batch']}{auxiliary}",
        f"time      about {format_duration(seconds['total'])} on {found.machine.n_threads} free CPU cores: {stages}",
        f"memory    about {format_size(found.peak_bytes)}",
    ]


def format_duration(seconds: float) -> str:
    """Format seconds as `4.2 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def as_json(found: Estimate) -> dict[str, object]:
    """The estimate as plain JSON values."""
    threads = {"threads": found.machine.n_threads}
    return {"rows": found.n_rows, "rows_exact": found.is_exact, "model": found.model, **threads, "seconds": found.seconds, "peak_bytes": found.peak_bytes}
