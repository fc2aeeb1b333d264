"""Texts embedded by a network of transformers, for which a stand-in is loaded here; never downloaded unasked."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest
import torch

import zcurate
from zcurate.config.options import ScanOptions
from zcurate.data import inputs
from zcurate.encoding import text_network
from zcurate.errors import UsageError
from zcurate.pipeline.checks import ignored_without_model
from zcurate.pipeline.plan import make_plan

STAND_IN = """
import os, torch

class utils:
    class logging:
        set_verbosity_error = staticmethod(lambda: None)
        disable_progress_bar = staticmethod(lambda: None)

class Pieces(dict):
    def to(self, device):
        return self

class AutoTokenizer:
    pad_token = None
    eos_token = "<end>"
    @staticmethod
    def from_pretrained(name, local_files_only, trust_remote_code):
        assert not trust_remote_code
        if name != "small" and local_files_only:
            raise OSError("no such folder. And more.")
        return AutoTokenizer()
    def __call__(self, texts, padding, truncation, max_length, return_tensors):
        assert self.pad_token
        rows = [[ord(letter) % 50 + 1 for letter in text][:max_length] or [1] for text in texts]
        n = max(map(len, rows))
        ids = torch.tensor([row + [0] * (n - len(row)) for row in rows])
        return Pieces(input_ids=ids, attention_mask=(ids > 0).long())

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(51, 8)
        self.config = type("Config", (), {"is_encoder_decoder": False})()
    def forward(self, input_ids, attention_mask):
        return type("Out", (), {"last_hidden_state": self.table(input_ids)})()

class AutoModel:
    @staticmethod
    def from_pretrained(name, use_safetensors, local_files_only, trust_remote_code):
        assert use_safetensors
        return Network()
"""


@pytest.fixture
def transformers(tmp_path, monkeypatch):
    (tmp_path / "transformers.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    yield
    sys.modules.pop("transformers", None)


TEXTS = [f"the {word} is {kind} and number {k} of many" for k in range(60) for word, kind in (("dog", "an animal"), ("oak", "a plant"))]


def table():
    return pa.table({"text": [f"{text}, seen on day {at}" for at, text in enumerate(TEXTS)], "label": ["animal", "plant"] * 60})


def test_texts_become_unit_vectors_whatever_their_company(transformers):
    found = text_network.embed(["aa", "b", "aa", ""], "hf:small", False, torch.device("cpu"))
    assert found.shape == (4, 8)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(found[0], found[2])
    alone = text_network.embed(["b"], "hf:small", False, torch.device("cpu"))
    np.testing.assert_allclose(alone[0], found[1], rtol=1e-5)


def test_a_scan_of_texts_learns_from_the_network(transformers):
    report = zcurate.scan(table(), label="label", features="hf:small", epochs=2)
    assert report.card["model"]["text_network"] == "hf:small"
    assert report.card["model"]["text"] == "both"
    assert report.counts().get("skipped", 0) == 0


def test_what_is_not_here_is_told(transformers):
    with pytest.raises(UsageError, match=r"--features hf:other: its weights are not on this machine \(no such folder\)"):
        zcurate.scan(table(), label="label", features="hf:other", epochs=1)


def test_a_network_without_its_package_or_without_texts_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    data = inputs.read_input(table(), ScanOptions(label="label"))
    with pytest.raises(UsageError, match="the package transformers is not installed"):
        make_plan(ScanOptions(label="label", features="hf:small"), data)
    numbers = inputs.read_input(pa.table({"a": np.arange(40.0) / 7, "label": ["x", "y"] * 20}), ScanOptions(label="label"))
    with pytest.raises(UsageError, match="is for pictures, or with hf: for texts"):
        make_plan(ScanOptions(label="label", features="hf:small"), numbers)


def test_options_that_mean_nothing_without_a_model_are_told():
    assert ignored_without_model(ScanOptions()) == []
    assert len(ignored_without_model(ScanOptions(epochs=3, resume=True, time_limit="1m", features="lite0"))) == 4


def test_an_estimate_is_for_the_command_line():
    with pytest.raises(UsageError, match="estimate = True"):
        zcurate.scan(table(), label="label", estimate=True)
