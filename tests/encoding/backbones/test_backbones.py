"""Pre-trained networks by name: loaded from stand-ins for their packages, never downloaded unasked, and refused in words where something is missing."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch

from tests.encoding.test_picture_features import write_pictures
from zcurate import plugins
from zcurate.config.options import ScanOptions
from zcurate.data import inputs
from zcurate.encoding import backbones, picture_features
from zcurate.encoding.backbones.normalized import Normalized, fingerprint
from zcurate.errors import UsageError
from zcurate.pipeline.plan import make_plan
from zcurate.runtime.context import RunContext

NETWORK = "torch.nn.Sequential(torch.nn.Conv2d(3, 4, 8, 8), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())"
STAND_INS = {
    "timm": f"""
        import os, torch
        class data:
            resolve_model_data_config = staticmethod(lambda network: {{"mean": (0.5,) * 3, "std": (0.25,) * 3, "input_size": (3, 48, 48)}})
        def create_model(name, pretrained, num_classes):
            assert pretrained and num_classes == 0
            if name == "nonsense":
                raise RuntimeError("Unknown model (nonsense)")
            if os.environ["HF_HUB_OFFLINE"] == "1" and name != "here":
                raise ConnectionError("no weights in the cache")
            torch.manual_seed(0)
            return {NETWORK}
    """,
    "torchvision": f"""
        import torch
        class models:
            def get_model(name, weights):
                if name == "nonsense":
                    raise ValueError("Unknown model nonsense")
                network = {NETWORK}
                network.fc = torch.nn.Linear(4, 2)
                return network
            class Weights:
                class DEFAULT:
                    url = "https://nowhere.invalid/small-1234.pth"
            get_model_weights = staticmethod(lambda name: models.Weights)
    """,
    "open_clip": f"""
        import os, torch
        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.visual = {NETWORK}
                self.visual.image_size = (56, 56)
        def list_pretrained_tags_by_model(name):
            return ["first", "second"] if name == "small" else []
        def create_model(name, pretrained, weights_only):
            assert weights_only
            if pretrained != "first":
                raise RuntimeError("Failed to download")
            return Model()
    """,
    "transformers": f"""
        import torch, types
        utils = types.SimpleNamespace(logging=types.SimpleNamespace(set_verbosity_error=lambda: None, disable_progress_bar=lambda: None))
        class Model(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.inner, self.config = {NETWORK}, types.SimpleNamespace(image_size=40)
            def forward(self, pixel_values):
                return types.SimpleNamespace(pooler_output=self.inner(pixel_values))
        class AutoModel:
            def from_pretrained(name, use_safetensors, local_files_only, trust_remote_code):
                assert use_safetensors and not trust_remote_code
                if local_files_only and name != "here":
                    raise OSError("not in the cached files. Check your connection")
                return Model()
        class AutoImageProcessor:
            def from_pretrained(name, **settings):
                raise OSError("none")
    """,
}


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """A folder of packages that stand in for timm, torchvision, open_clip and transformers."""
    import textwrap

    for name, text in STAND_INS.items():
        (tmp_path / "packages" / f"{name}.py").parent.mkdir(exist_ok=True)
        (tmp_path / "packages" / f"{name}.py").write_text(textwrap.dedent(text))
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    yield tmp_path
    for name in STAND_INS:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(("name", "side"), [("timm:here", 48), ("open_clip:small/first", 56), ("open_clip:small", 56), ("hf:here", 40)])
def test_a_network_is_loaded_by_name(stand_ins, name, side):
    network = backbones.load(name, False)
    assert network.side == side and network.identity.startswith(name.partition("/")[0])
    with torch.inference_mode():
        assert network.apply(torch.zeros(2, 3, side, side)).shape == (2, 4)
    assert not any(one.requires_grad for one in network.apply.parameters())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:elsewhere", r"its weights are not on this machine \(no weights in the cache\) .* fetch them once with --download"),
        ("timm:nonsense", r"cannot be loaded — Unknown model \(nonsense\)"),
        ("torchvision:small", r"its weights are not on this machine \(no small-1234.pth in torch's cache\)"),
        ("torchvision:nonsense", "cannot be loaded — Unknown model nonsense"),
        ("open_clip:small/second", "its weights are not on this machine"),
        ("open_clip:small/third", "cannot be loaded — weights: first, second"),
        ("open_clip:large", "cannot be loaded — no network large"),
        ("hf:elsewhere", r"its weights are not on this machine \(not in the cached files\)"),
    ],
)
def test_what_is_not_there_is_named_and_not_downloaded(stand_ins, name, message):
    with pytest.raises(UsageError, match=rf"--features {name}: {message}"):
        backbones.load(name, False)


@pytest.mark.parametrize("name", ["timm:elsewhere", "hf:elsewhere"])
def test_download_lets_the_packages_fetch(stand_ins, name, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert backbones.load(name, True).apply is not None
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_weights_of_torchvision_are_read_as_numbers_alone(stand_ins):
    path = stand_ins / "hub/checkpoints/small-1234.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\x80\x04cposix\nsystem\n(S'touch PWNED'\ntR.")
    with pytest.raises(UsageError, match="cannot be loaded"):
        backbones.load("torchvision:small", False)
    import torchvision

    torch.save(torchvision.models.get_model("small", None).state_dict(), path)
    network = backbones.load("torchvision:small", False)
    assert network.side == 224 and isinstance(network.apply.network.fc, torch.nn.Identity)


def test_a_package_that_fails_to_import_is_no_bug(stand_ins):
    (stand_ins / "packages/timm.py").write_text("raise RuntimeError('operator nms does not exist')")
    with pytest.raises(UsageError, match=r"the package timm fails \(operator nms does not exist\) .* a release that fits this torch"):
        backbones.load("timm:here", False)


@pytest.mark.parametrize("name", [name for name in plugins.BACKBONES if name != "lite0"])
def test_a_package_that_is_not_installed_is_named(name, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    plugin = plugins.BACKBONES[name]
    with pytest.raises(UsageError, match=rf"the package {plugin.package} is not installed .* pip install {plugin.install}"):
        backbones.check(f"{name}:{plugin.example}")


def test_pixels_are_normalized_and_tokens_and_maps_averaged():
    module = Normalized(torch.nn.Identity(), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    assert torch.allclose(module(torch.full((1, 3, 2, 2), 255.0)), torch.full((1, 3), 2.0))
    tokens = Normalized(torch.nn.Flatten(2), (0.0,) * 3, (1 / 255,) * 3)
    assert tokens(torch.ones(1, 3, 2, 2)).shape == (1, 4)
    assert fingerprint(module) != fingerprint(tokens)


OWN = """
import torch
def network():
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 5))
    module.side = 16
    return module
def function():
    return lambda pixels: torch.stack([pixels.mean((1, 2, 3)), pixels.amax((1, 2, 3))], 1)
def number():
    return 7
def fails():
    raise KeyError("no luck")
def one_number():
    return lambda pixels: pixels.mean()
def infinite():
    return lambda pixels: pixels.mean((2, 3)) / 0
def wrong_shape():
    return lambda pixels: pixels[:1].flatten(1)[:, :4]
def breaks():
    return lambda pixels: pixels @ torch.zeros(3, 3)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN)
    return inputs.read_input(str(write_pictures(folder / "d", 12)), ScanOptions()), f"{folder}/own.py"


@pytest.mark.parametrize(("name", "width", "side"), [("network", 5, 16), ("function", 2, 224)])
def test_a_network_of_ones_own(own, name, width, side):
    data, path = own
    features = picture_features.picture_features(data, f"{path}:{name}", False, RunContext(device=torch.device("cpu")))
    assert features.shape == (12, width)
    if name == "function":
        expected = np.stack([data.originals.at(row, side) for row in range(12)]).astype(float)
        assert np.allclose(features[:, 0], expected.mean((1, 2, 3)), rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "returned int — expected a torch.nn.Module"), ("fails", "the function fails — KeyError"), ("one_number", "makes one number of 12 pictures"),
        ("infinite", "expected finite ones"), ("wrong_shape", "makes 1x4 of 12 pictures"), ("breaks", "fails on pictures of 224x224"),
        ("nothing", "no function 'nothing'"),
    ],
)  # fmt: skip
def test_a_network_of_ones_own_that_fails_is_named(own, name, message):
    data, path = own
    with pytest.raises(UsageError, match=f"{name}: {message}|{message}"):
        picture_features.picture_features(data, f"{path}:{name}", False, RunContext(device=torch.device("cpu")))


def test_the_plan_takes_features_of_ones_own(own):
    data, path = own
    plan = make_plan(ScanOptions(features=f"{path}:network"), data)
    assert (plan.spec.features, plan.spec.name) == (f"{path}:network", "mlp")
    brought = inputs.attach(data, ScanOptions(features="<array>"), inputs.RowArrays(features=np.ones((12, 3))))
    assert make_plan(ScanOptions(features="<array>"), brought).spec.name == "mlp"


def test_a_toml_file_names_networks_but_no_files(own, tmp_path):
    (tmp_path / "m.toml").write_text('features = "features.npy"\n')
    with pytest.raises(UsageError, match="expected one such as timm:NAME"):
        make_plan(ScanOptions(model=str(tmp_path / "m.toml")), own[0])
    (tmp_path / "m.toml").write_text(f'features = "{own[1]}:network"\n')
    with pytest.raises(UsageError, match="expected one such as timm:NAME"):
        make_plan(ScanOptions(model=str(tmp_path / "m.toml")), own[0])
