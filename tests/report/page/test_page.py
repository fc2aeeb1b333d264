"""The page: bounded, escaped, without network; in a browser sorted, decided and saved as a decisions file."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

import zcurate
from zcurate.report.decision_files import read_decisions
from zcurate.report.page.content import MAX_CLASSES, matrix
from zcurate.report.page.page import as_script, render

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "=1+1",
    "</script><b>",
    "a\x1b[31m\x07b\u202e",
    "x" * 10_000,
    "{{ 7 * 7 }}",
    "' onclick='1",
]


@pytest.fixture(scope="module")
def report(scanned):
    return zcurate.load_report(str(scanned[1]))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(len(HOSTILE)), 30)
    table = {f"<b>{name}": np.eye(len(HOSTILE))[y][:, at] * 3 + rng.normal(0, 1, len(y)) for at, name in enumerate("abcdefgh")}
    given = np.where(rng.random(len(y)) < 0.1, rng.integers(0, len(HOSTILE), len(y)), y)
    folder = tmp_path_factory.mktemp("hostile")
    table |= {"text": [HOSTILE[at] + str(row) for row, at in enumerate(y)], "label": [HOSTILE[at] for at in given]}
    pa.parquet.write_table(pa.table(table), folder / "a.parquet")
    return zcurate.scan(str(folder / "a.parquet"), label="label", epochs=2, exclude="text", output=str(folder / "a.zcurate.parquet")), folder


class Elements(HTMLParser):
    """Collects the elements of a page and their attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def elements(page):
    parser = Elements()
    parser.feed(page)
    return parser.found


def content(page):
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)[1])


def test_the_matrix_counts_every_row_called_incorrect(report):
    table = matrix(report)
    incorrect = report.called("incorrect") & report.table.column("suggested").is_valid().to_numpy()
    assert np.sum(table["cells"]) == incorrect.sum() > 0
    assert table["classes"] == len(table["names"]) <= MAX_CLASSES
    assert not np.diag(table["cells"]).any()


def test_the_page_says_what_was_scanned_and_how_far_to_trust_it(report, scanned):
    page = render(report, "blobs.zcurate.parquet", str(scanned[0]))
    for text in (
        "300 rows",
        "label <b>label</b>",
        "How far to trust it",
        "Calibration on planted errors",
        "Mean z-score",
        "zcurate update blobs.zcurate.parquet",
    ):
        assert text in page
    assert "are not shown" not in page
    rows = content(page)["rows"]
    assert [row["rank"] for row in rows] == sorted(row["rank"] for row in rows)
    assert rows[0]["cells"]["key"] == rows[0]["key"]
    assert content(page)["bands"]


def test_nothing_comes_from_elsewhere_and_scripts_are_pinned(report):
    page = render(report, "r")
    found = elements(page)
    assert [tag for tag, _ in found].count("script") == 2
    assert not any("src" in attributes or "href" in attributes for _, attributes in found)
    policy = next(attributes["content"] for tag, attributes in found if tag == "meta" and "http-equiv" in attributes)
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy
    assert "unsafe-inline' script" not in policy


def test_hostile_labels_are_text(hostile):
    report, folder = hostile
    page = render(report, "r", str(folder / "a.parquet"))
    tags = {tag for tag, _ in elements(page)}
    assert "img" not in tags
    assert [tag for tag, _ in elements(page)].count("script") == 2
    assert not any(name.startswith("on") for _, attributes in elements(page) for name in attributes)
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert sorted(content(page)["classes"]) == sorted(HOSTILE)
    assert len(page) < 5_000_000


def test_json_cannot_leave_its_element():
    text = as_script({"a": "</script><!--<script>", "b": "\u2028&"})
    assert not {"<", ">", "&", "\u2028"} & set(text)
    assert json.loads(text)["a"] == "</script><!--<script>"


def test_a_long_report_makes_a_small_page(report):
    rows = np.tile(np.arange(300), 400)
    table = report.table.take(pa.array(rows))
    table = table.set_column(0, "row", pa.array(np.arange(len(rows))))
    table = table.set_column(table.column_names.index("rank"), "rank", pa.array(np.arange(1, len(rows) + 1)))
    card = {**report.card, "input": {**report.card["input"], "path": "memory"}}
    page = render(dataclasses.replace(report, table=table, card=card), "r")
    assert len(page.encode()) < 1_500_000
    assert len(content(page)["rows"]) <= 700


def test_a_page_of_targets_and_of_an_unjudged_report():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    given = x[:, 0] * 3
    given[:6] += 9
    page = render(zcurate.scan(pa.table({"a": x[:, 0], "b": x[:, 1], "y": given}), label="y", task="regression", epochs=4), "r")
    assert content(page)["classes"] == []
    noise = zcurate.scan(pa.table({"a": rng.normal(size=100), "label": rng.integers(0, 2, 100).astype(str)}), label="label", epochs=1)
    assert "No row is judged" in render(noise, "r")


def test_the_command_writes_the_page(run, scanned, here):
    code, _, err = run("html", str(scanned[1]), "-o", "page.html")
    assert (code, "written   page.html" in err) == (0, True)
    assert (here / "page.html").read_text().startswith("<!doctype html>")
    assert run("html", str(scanned[1]), "-o", "page.txt")[0] == 2
    assert run("html", "none.zcurate.parquet")[0] == 2


def open_page(browser, report, tmp_path, data=None):
    report.html(str(tmp_path / "page.html"), data=data)
    browser.driver.get(f"file://{tmp_path / 'page.html'}")
    return lambda selector: browser.driver.find_elements("css selector", selector)


@pytest.mark.slow
def test_rows_are_sorted_filtered_and_decided_by_keys(browser, report, scanned, tmp_path):
    from selenium.webdriver.common.keys import Keys

    find = open_page(browser, report, tmp_path, str(scanned[0]))
    assert len(find("#list tr.row")) > 20
    find("#list th[data-sort=p]")[0].click()
    p = [float(row.find_elements("css selector", "td")[4].text) for row in find("#list tr.row")]
    assert p == sorted(p, reverse=True)
    find("#find")[0].send_keys("k12")
    assert all("k12" in row.text for row in find("#list tr.row"))
    find("#find")[0].send_keys(Keys.CONTROL, "a")
    find("#find")[0].send_keys(Keys.DELETE)
    find("#list th[data-sort=rank]")[0].click()
    find("#by")[0].send_keys("me, myself")
    find("#list tr.row td")[0].click()
    assert find(".detail")
    browser.press("k", "r", "d", "c", "u", "u", "c")
    find("#save")[0].click()
    got = read_decisions(str(browser.downloaded("blobs.decisions.csv")))
    assert [one.decision for one in got] == ["keep", "relabel", "unsure"]
    assert {one.by for one in got} == {"me, myself"}
    ranks = report.table.sort_by("rank").column("row").to_pylist()
    assert [one.row for one in got] == ranks[:3]
    changed = report.update(str(browser.downloads / "blobs.decisions.csv"))
    assert changed.card["answers"]["decisions"] == 3
    report.apply(str(tmp_path / "new.csv"), str(browser.downloads / "blobs.decisions.csv"), data=str(scanned[0]), verdict="outlier")
    browser.driver.refresh()
    assert "3 decided" in find("#known")[0].text
    assert browser.console() == []


@pytest.mark.slow
def test_hostile_labels_do_nothing_in_a_browser(browser, hostile, tmp_path):
    report, folder = hostile
    find = open_page(browser, report, tmp_path, str(folder / "a.parquet"))
    find("#list tr.row")[0].click()
    browser.press("r", "k")
    find("#save")[0].click()
    got = read_decisions(str(browser.downloaded("a.decisions.csv")))
    assert [one.decision for one in got] in (["relabel", "keep"], ["keep"])
    assert not find("img")
    assert browser.console() == []
    report.update(str(browser.downloads / "a.decisions.csv"))


@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 800, 1400])
def test_the_page_fits_every_width_in_light_and_dark(width, browser, report, tmp_path):
    find = open_page(browser, report, tmp_path)
    browser.viewport(width)
    script = "return [document.documentElement.scrollWidth, getComputedStyle(document.body).backgroundColor]"
    light = browser.driver.execute_script(script)
    browser.scheme("dark")
    dark = browser.driver.execute_script(script)
    assert light[0] <= width
    assert light[1] != dark[1]
    assert find("#list tr.row")
