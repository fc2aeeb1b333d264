"""Findings of pictures: planted ones are found, ordinary pictures are not, and they never make a verdict."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

import zcurate
from zcurate.data import picture_findings
from zcurate.data.picture_findings import MEASURES, appearance, find
from zcurate.judge.reasons import REASONS

N = 120


def picture(seed, side=48):
    """An ordinary picture: blots of several sizes and colors with some grain."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (side, side), tuple(int(v) for v in rng.integers(60, 200, 3)))
    for size in (20, 12, 8, 5, 3):
        for _ in range(6):
            x, y = rng.integers(0, side - size, 2)
            image.paste(tuple(int(v) for v in rng.integers(20, 235, 3)), (int(x), int(y), int(x) + size, int(y) + size))
    grain = np.asarray(image).astype(int) + rng.integers(-12, 13, (side, side, 1))
    return Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))


CHANGES = {
    "too_dark": lambda one: ImageEnhance.Brightness(one).enhance(0.15),
    "too_bright": lambda one: Image.fromarray((230 + np.asarray(one) // 11).astype(np.uint8)),
    "blurred": lambda one: one.filter(ImageFilter.GaussianBlur(3)),
    "low_information": lambda one: Image.new("RGB", one.size, (120, 90, 60)),
    "odd_aspect": lambda one: one.resize((one.width * 3, one.height)),
}


@pytest.fixture(scope="module")
def measured():
    """Measures of ordinary pictures, and of two more for each change, in the order of `CHANGES`."""
    planted = [change(picture(1000 + 10 * at + k)) for at, change in enumerate(CHANGES.values()) for k in range(2)]
    return np.array([appearance(np.asarray(one)) for one in [*map(picture, range(N)), *planted]], np.float32)


def test_planted_findings_are_found_and_ordinary_pictures_are_not(measured):
    found = find(measured, np.full(len(measured), -1), None)
    assert not any(found.codes[:N])
    for at, code in enumerate(CHANGES):
        assert all(code in codes for codes in found.codes[N + 2 * at : N + 2 * at + 2]), code
    assert found.counts()["odd_aspect"] == 2


def test_what_all_pictures_are_is_not_unusual():
    """Digits in white on black are dark, drawings bright, and all are of little information."""
    for level in (0, 255):
        pictures = []
        for seed in range(60):
            rng = np.random.default_rng(seed)
            one = np.full((28, 28), level, np.uint8)
            x, y = rng.integers(2, 18, 2)
            one[y : y + 8, x : x + 3] = 255 - level
            pictures.append(appearance(one))
        assert not any(find(np.array(pictures, np.float32), np.full(60, -1), None).codes)


def test_too_few_pictures_are_not_compared(measured):
    few = np.concatenate([measured[:5], measured[N:]])[:12]
    assert not any(find(few, np.full(len(few), -1), None).codes)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 2), (40, 1, 3), (3, 3), (700, 500, 3)])
def test_any_shape_is_measured(shape):
    found = appearance(np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8))
    assert len(found) == len(MEASURES) and found[4] == shape[1] / shape[0]
    assert np.isfinite(found[:2]).all() and 0 <= found[3] <= 5


def test_unreadable_pictures_have_no_findings(measured):
    with_gap = np.concatenate([measured, np.full((1, 5), np.nan, np.float32)])
    assert find(with_gap, np.full(len(with_gap), -1), None).codes[-1] == ()


def test_duplicates_across_splits_are_told():
    group, split = np.array([0, 0, 1, 1, -1]), np.array([0, 1, 1, 1, 0])
    found = find(np.full((5, 5), np.nan, np.float32), group, split)
    assert list(found.codes) == [("near_duplicate", "duplicate_across_splits")] * 2 + [("near_duplicate",)] * 2 + [()]
    assert found.counts() == {"near_duplicate": 4, "duplicate_across_splits": 2, "duplicate_groups": 2}


@pytest.mark.slow
def test_a_scan_reports_findings_beside_the_verdicts(tmp_path):
    for k in range(64):
        for split in ("train", "test"):
            folder = tmp_path / "d" / split / "ab"[k % 2]
            folder.mkdir(parents=True, exist_ok=True)
            one = picture(5000 + 2 * k + (split == "test"))
            if k % 2:
                one = one.convert("L").convert("RGB")
            one.save(folder / f"{k:03d}.png")
    original = tmp_path / "d/train/a/010.png"
    copy = io.BytesIO()
    Image.open(original).resize((96, 96)).save(copy, "PNG")
    (tmp_path / "d/test/a/copy.png").write_bytes(copy.getvalue())
    CHANGES["too_dark"](Image.open(tmp_path / "d/train/a/020.png")).save(tmp_path / "d/train/a/020.png")
    (tmp_path / "d/train/a/bad.png").write_bytes(b"\x89PNG broken")
    report = zcurate.scan(str(tmp_path / "d"), epochs=3, output=str(tmp_path / "r.zcurate.parquet"))
    row = {path: at for at, path in enumerate(report.table.column("path").to_pylist())}
    reasons, group = report.table.column("reasons").to_pylist(), report.table.column("duplicate_group").to_pylist()
    pair = [row["train/a/010.png"], row["test/a/copy.png"]]
    assert group[pair[0]] == group[pair[1]] is not None
    assert sum(one is not None for one in group) == 2
    assert all({"near_duplicate", "duplicate_across_splits"} <= set(reasons[at]) for at in pair)
    assert "too_dark" in reasons[row["train/a/020.png"]]
    expected = {"near_duplicate": 2, "duplicate_across_splits": 2, "too_dark": 1, "duplicate_groups": 1}
    assert report.card["picture_findings"].items() >= expected.items()
    bad = row["train/a/bad.png"]
    assert report.table.column("brightness")[bad].as_py() is None and group[bad] is None and len(reasons[bad]) == 1
    assert report.table.column("verdict")[row["train/a/020.png"]].as_py() != "skipped"
    assert picture_findings.FINDINGS.keys() >= {code for codes in reasons for code in codes} - REASONS.keys() - set(reasons[bad])
