"""Every figure on SCALE.md equals its formula."""

from __future__ import annotations

import pytest

from tests.bench import scale

PAGE = """
| name | value | unit | from |
|---|---|---|---|
| ROWS | 2e3 | rows | the question |
| BYTES | 7 | bytes a row | counted |

| name | formula | value | unit |
|---|---|---|---|
| TOTAL | `ROWS * BYTES` | 1 | bytes |
| TWICE | `2 * (TOTAL - 1) ** 1` |  | bytes |
"""


def test_the_page_is_up_to_date():
    page = scale.PAGE.read_text()
    assert scale.recomputed(page) == page, "run python -m tests.bench.scale"


def test_changing_a_rate_changes_the_figures_that_depend_on_it():
    assert "| TOTAL | `ROWS * BYTES` | 14 000 | bytes |\n| TWICE | `2 * (TOTAL - 1) ** 1` | 28 000 | bytes |" in scale.recomputed(PAGE)
    assert "| TOTAL | `ROWS * BYTES` | 16 000 |" in scale.recomputed(PAGE.replace("| 7 |", "| 8 |"))
    assert scale.recomputed(scale.recomputed(PAGE)) == scale.recomputed(PAGE)


@pytest.mark.parametrize(("formula", "message"), [("UNKNOWN + 1", "'UNKNOWN' is not defined"), ("open('x')", "not arithmetic"), ("'a' * 2", "not arithmetic")])
def test_anything_but_arithmetic_over_known_names_is_an_error(formula, message):
    with pytest.raises(ValueError, match=message):
        scale.evaluate(formula, {})


@pytest.mark.parametrize(("value", "text"), [(0.0421, "0.0421"), (3.14159, "3.14"), (99.96, "100"), (176.4, "176"), (5683.2, "5 680"), (1e9, "1 000 000 000")])
def test_values_have_three_significant_digits(value, text):
    assert scale.formatted(value) == text
