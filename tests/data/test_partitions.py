"""File names of parts: order, other files, numbers, partition columns."""

from __future__ import annotations

import pytest

from zcurate.data import partitions


def test_parts_are_in_natural_order():
    names = ["d/part-10.parquet", "d/part-9.parquet", "d/part-1.parquet", "d/year=2020/a-2.parquet", "d/year=2020/a-11.parquet", "c/z.parquet"]
    assert partitions.in_order(names) == (
        "c/z.parquet", "d/part-1.parquet", "d/part-9.parquet", "d/part-10.parquet", "d/year=2020/a-2.parquet", "d/year=2020/a-11.parquet",
    )  # fmt: skip


def test_names_with_unicode_digits_are_ordered():
    assert partitions.in_order(["a/²", "a/1", "a/01"]) == ("a/01", "a/1", "a/²")


@pytest.mark.parametrize("name", ["_SUCCESS", "_metadata", ".part-0.parquet.crc", ".hidden.parquet", "a.zcurate.parquet"])
def test_files_that_are_not_parts(name):
    assert not partitions.is_data(f"folder/{name}")
    assert partitions.is_data(f"_folder/x{name.replace('zcurate', '')}")


def test_partition_columns_are_parsed_from_folders():
    assert partitions.partition("d/year=2020/town=K%C3%B6ln/part-0.parquet", "d") == {"year": "2020", "town": "Köln"}
    assert partitions.partition("d/year=__HIVE_DEFAULT_PARTITION__/p.parquet", "d") == {"year": None}
    assert partitions.partition("d/year=2020/p.parquet", "d/year=2020") == {}
    assert partitions.partition("d/a=b.parquet", "d") == {}


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (["part-00000-of-00002.parquet", "part-00001-of-00002.parquet"], None),
        (["part-00000-of-00003.parquet", "part-00002-of-00003.parquet"], "part-00001-of-00003.parquet is missing"),
        (["part-00000-of-00002.parquet"], "part-00001-of-00002.parquet is missing"),
        (["part-00000-of-00001.parquet", "part-00001-of-00002.parquet"], "parts of 1 and of 2 are in one folder"),
        (["a-0-of-1.parquet", "b-0-of-1.parquet"], "b-0-of-1.parquet and a-0-of-1.parquet are the same part"),
        (["part-0.parquet", "part-2.parquet"], None),
    ],
)
def test_a_missing_part_is_named(numbers, expected):
    assert partitions.missing(numbers) == expected


def test_part_names_are_parsed_as_numbered():
    assert partitions.part_name(3, 8) == "part-00003-of-00008.parquet"
    assert partitions.missing([partitions.part_name(k, 3) for k in range(3)]) is None
