"""Features of pictures: computed once, kept beside the report, and chosen where they say something."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import pytest
import torch
from PIL import Image

import zcurate
from zcurate.config.options import ScanOptions
from zcurate.data import inputs
from zcurate.encoding import picture_features
from zcurate.errors import UsageError
from zcurate.pipeline.plan import make_plan
from zcurate.runtime.context import RunContext


def write_pictures(folder, n=24, side=40, color=True):
    """Pictures of two classes, stripes and patches; the tenth of each class lies in the other's folder."""
    rng = np.random.default_rng(0)
    for k in range(n):
        y, x = np.mgrid[0:side, 0:side]
        grey = np.where((x // 4 if k % 2 else x // 10 + y // 10) % 2, 210, 40) + rng.integers(0, 30, (side, side))
        picture = np.stack([grey, grey // 2, 255 - grey], 2) if color else grey
        name = folder / ("ab"[(k % 2) ^ (k % 20 >= 18)])
        name.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.astype(np.uint8)).save(name / f"{k:03d}.png")
    return folder


@pytest.fixture(scope="module")
def colored(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("colored") / "d")


def read(path, **options):
    return inputs.read_input(str(path), ScanOptions(**options))


def test_pictures_are_shown_to_the_network_at_their_own_detail(colored):
    data = read(colored)
    assert data.pictures.shape[1:] == (3, 32, 32) and data.originals.side == 40
    original = np.asarray(Image.open(colored / data.paths[0].as_py()))
    assert np.array_equal(data.originals.at(0, 40), original.transpose(2, 0, 1))
    assert data.originals.at(0, 128).shape == (3, 128, 128)


def test_features_are_kept_and_read_again(colored, tmp_path, monkeypatch):
    data, path = read(colored), str(tmp_path / "r.features")
    run = RunContext(device=torch.device("cpu"), features_file=path)
    first = picture_features.picture_features(data, "lite0", False, run)
    assert first.shape == (24, 1904) and os.listdir(tmp_path) == ["r.features"]
    monkeypatch.setattr(picture_features, "compute", lambda *_: pytest.fail("computed again"))
    assert np.array_equal(picture_features.picture_features(data, "lite0", False, run), first)
    other = dataclasses.replace(data, pictures=data.pictures + np.uint8(1))
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        picture_features.picture_features(other, "lite0", False, run)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [lambda content: content[:-1] + bytes([content[-1] ^ 1]), lambda content: content[:100], lambda content: b"", lambda content: b"x" * 500]
)
def test_damaged_features_are_computed_again(change, colored, tmp_path):
    data, path = read(colored), tmp_path / "r.features"
    run = RunContext(device=torch.device("cpu"), features_file=str(path))
    first = picture_features.picture_features(data, "lite0", False, run)
    whole = path.read_bytes()
    path.write_bytes(change(whole))
    # Products in bfloat16 differ in their last digits from run to run.
    assert np.allclose(picture_features.picture_features(data, "lite0", False, run), first, atol=0.1)
    assert len(path.read_bytes()) == len(whole)


def test_a_folder_that_cannot_be_written_to_is_no_fault(colored, tmp_path):
    features = picture_features.picture_features(
        read(colored), "lite0", False, RunContext(device=torch.device("cpu"), features_file=str(tmp_path / "none/r.features"))
    )
    assert features.shape == (24, 1904) and os.listdir(tmp_path) == []


def test_an_unreadable_picture_is_black(tmp_path):
    folder = write_pictures(tmp_path / "d", 8)
    (folder / "a/zz.png").write_bytes(b"no picture")
    data = read(folder)
    assert not data.originals.at(data.skipped[0].row, 32).any()


@pytest.mark.parametrize(
    ("side", "color", "options", "features", "name"),
    [
        (40, True, {}, "lite0", "mlp"), (40, False, {}, "lite0", "resnet"), (20, True, {}, "none", "resnet"), (20, True, {"features": "lite0"}, "lite0", "mlp"),
        (40, True, {"features": "none"}, "none", "resnet"), (40, True, {"model": "resnet"}, "lite0", "resnet"), (40, True, {"model": "linear"}, "lite0", "linear"),
    ],
)  # fmt: skip
def test_the_plan_follows_size_color_and_options(tmp_path, side, color, options, features, name):
    plan = make_plan(ScanOptions(**options), read(write_pictures(tmp_path / "d", 8, side, color)))
    assert (plan.spec.features, plan.spec.name) == (features, name)
    assert ("probe" in plan.spec.ensemble) == (features != "none")


def test_features_of_a_table_are_refused(blobs_csv):
    with pytest.raises(UsageError, match="--features lite0: is for pictures"):
        make_plan(ScanOptions(features="lite0"), read(blobs_csv[0]))
    with pytest.raises(UsageError, match=r"--features lit0 is no column and no .npy or .parquet file .* did you mean --features lite0\?"):
        read(blobs_csv[0], features="lit0")
    with pytest.raises(UsageError, match="try --model mlp|try --model resnet"):
        make_plan(ScanOptions(model="resnet"), read(blobs_csv[0]))


@pytest.mark.slow
@pytest.mark.parametrize("color", [True, False])
def test_wrong_pictures_are_found(tmp_path, color):
    folder = write_pictures(tmp_path / "d", 120, 40, color)
    report = zcurate.scan(str(folder), epochs=6, output=str(tmp_path / "r.zcurate.parquet"))
    wrong = {path for path in report.table.column("path").to_pylist() if int(path[-7:-4]) % 20 >= 18}
    found = [
        path
        for path, rank in sorted(zip(report.table.column("path").to_pylist(), report.table.column("rank").to_pylist(), strict=True), key=lambda pair: pair[1])
    ]
    assert len(wrong & set(found[: len(wrong)])) >= 0.8 * len(wrong)
    assert sorted(os.listdir(tmp_path)) == ["d", "r.zcurate.parquet", "r.zcurate.parquet.features"]


def test_features_are_standardized_in_place(monkeypatch):
    features = np.random.default_rng(0).normal(5, 3, (100, 4)).astype(np.float16)
    features[:, 3] = 2
    row = np.random.default_rng(1).permutation(100)[:90]
    monkeypatch.setattr(picture_features, "ROWS", 32)
    found, scale = picture_features.standardized(features.copy(), row)
    again, _ = picture_features.standardized(features, row[:7], scale)
    assert np.array_equal(again, found[:7])
    exact = features[row].astype(np.float64)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, :3], (exact[:, :3] - exact[:, :3].mean(0)) / exact[:, :3].std(0), atol=1e-4)
    assert not found[:, 3].any()


@pytest.mark.parametrize("size", [(1200, 3), (3, 1200), (5000, 10), (8000, 15)])
def test_a_jpeg_of_extreme_shape_is_read(tmp_path, size):
    folder = write_pictures(tmp_path / "d", 8)
    Image.effect_noise(size, 50).save(folder / "a/zz.jpg")
    assert not read(folder).skipped
