"""Encode and train in one call, as a scan does, for tests of one stage."""

from __future__ import annotations

import torch

from zcurate.config.model_config import Plan
from zcurate.data.table import ResidentTable
from zcurate.encoding import encoder
from zcurate.judge.blocks import merge_rounds
from zcurate.pipeline import api, scan
from zcurate.runtime.context import RunContext
from zcurate.runtime.store import BlockSizes
from zcurate.training import rounds
from zcurate.training.models import builder

CPU = torch.device("cpu")
SMALL_BLOCKS = BlockSizes(report_rows=700, bucket_rows=800)


def scan_memory_mapped(data, sizes=SMALL_BLOCKS, **settings):
    """Scan with memory-mapped rows, in small blocks; `cost_model.min_bytes` must allow it."""
    options = api.options_from({"memory": "1MB", **settings})
    return scan.run_scan(str(data), options, RunContext(block_sizes=sizes))


def encode(data, spec, device=CPU, **context):
    """Encode a data set in memory."""
    return encoder.encode(ResidentTable(data), spec, RunContext(device=device, **context))


def train(encoded, spec, n_epochs, packed=False, build=None, observer=None, checkpoint=None, start_background=None, **context):
    """Train, and return the merged evidence and whether the time limit cut training short; further keywords go to `RunContext`."""
    plan = Plan(spec, packed, n_epochs, "")
    run = RunContext(device=encoded.device, **context)
    evidence, cut = rounds.train(encoded, plan, build or builder(spec.name), run, observer, checkpoint, start_background)
    return merge_rounds(evidence.rounds, evidence.y), cut
