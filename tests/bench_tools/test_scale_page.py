"""SCALE.md keeps its word: every figure is what its formula makes of the rates."""

from __future__ import annotations

import pytest

from tests.bench import scale

PAGE = """
| name | value | unit | from |
|---|---|---|---|
| ROWS | 2e3 | rows | asked for |
| BYTES | 7 | bytes a row | counted |

| name | formula | value | unit |
|---|---|---|---|
| TOTAL | `ROWS * BYTES` | 1 | bytes |
| TWICE | `2 * (TOTAL - 1) ** 1` |  | bytes |
"""


def test_the_page_is_what_its_rates_make_it():
    page = scale.PAGE.read_text()
    assert scale.worked_out(page) == page, "run python -m tests.bench.scale"


def test_a_changed_rate_changes_what_is_made_of_it():
    assert "| TOTAL | `ROWS * BYTES` | 14 000 | bytes |\n| TWICE | `2 * (TOTAL - 1) ** 1` | 28 000 | bytes |" in scale.worked_out(PAGE)
    assert "| TOTAL | `ROWS * BYTES` | 16 000 |" in scale.worked_out(PAGE.replace("| 7 |", "| 8 |"))
    assert scale.worked_out(scale.worked_out(PAGE)) == scale.worked_out(PAGE)


@pytest.mark.parametrize(("formula", "why"), [("NOWHERE + 1", "no rate or figure 'NOWHERE'"), ("open('x')", "no arithmetic"), ("'a' * 2", "no arithmetic")])
def test_what_is_no_arithmetic_over_known_names_is_refused(formula, why):
    with pytest.raises(ValueError, match=why):
        scale.value_of(formula, {})


@pytest.mark.parametrize(("value", "text"), [(0.0421, "0.0421"), (3.14159, "3.14"), (99.96, "100"), (176.4, "176"), (5683.2, "5 680"), (1e9, "1 000 000 000")])
def test_three_figures_are_shown(value, text):
    assert scale.shown(value) == text
