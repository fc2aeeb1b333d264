"""Numbers of groups and of splits."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from zcurate.data.dataset import Dataset, InputInfo, Roles, Task
from zcurate.encoding.groups import split_codes


def data_of(splits):
    labels = pa.array(["a", "b"] * 3)
    return Dataset(pa.table({"label": labels}), Roles("label"), Task("binary", "", ("a", "b")), labels, InputInfo("d", "folder"), splits=splits)


def test_rows_of_one_split_have_one_number_in_any_order():
    codes = split_codes(data_of(pa.array(["train", "test", None, "train", None, "test"])), np.array([5, 0, 2, 3, 1]))
    assert codes.tolist() == [0, 1, -1, 1, 0]


def test_an_input_without_splits_has_no_numbers():
    assert split_codes(data_of(None), np.arange(6)) is None
