import datetime as dt

import pyarrow as pa
import pytest

from zcurate.data.dates import DurationFormat, infer_date_format


def parsed(values):
    form = infer_date_format(values, 0.95)
    return None if form is None else form.parse(pa.array(values)).to_pylist()


@pytest.mark.parametrize(
    ("written", "first"),
    [
        (["31.12.2020", "1.2.2020"], dt.datetime(2020, 12, 31)),
        (["12/31/2020", "01/02/2020"], dt.datetime(2020, 12, 31)),
        (["13/01/2020 1:05 PM", "06/01/2020 11:05 AM"], dt.datetime(2020, 1, 13, 13, 5)),
        (["2020/01/31", "2020/02/01 05:06:07.123"], dt.datetime(2020, 1, 31)),
        (["3 March 2020", "12 May 2019"], dt.datetime(2020, 3, 3)),
        (["Mar 3, 2020", "Apr. 12, 2021"], dt.datetime(2020, 3, 3)),
        (["1st May 2020", "22nd June 2021"], dt.datetime(2020, 5, 1)),
        (["01-Jan-20", "15-Feb-21"], dt.datetime(2020, 1, 1)),
        (["1/31/20", "2/28/21"], dt.datetime(2020, 1, 31)),
        (["2020Q3", "2021-Q4"], dt.datetime(2020, 7, 1)),
        (["2020-05", "2021-11"], dt.datetime(2020, 5, 1)),
        (["2020-01-01T10:00:00+02:00", "2020-01-01 10:00"], dt.datetime(2020, 1, 1, 8)),
        (["Wed, 06 Mar 2013 10:11:12 GMT", "Thu, 07 Mar 2013 10:11:12 +0100"], dt.datetime(2013, 3, 6, 10, 11, 12)),
        (["20.03.2020, 12:30", "21.03.2020, 12:31"], dt.datetime(2020, 3, 20, 12, 30)),
        (["0001-01-01", "9999-12-31"], dt.datetime(1, 1, 1)),
        (["5. 3. 2020", "17. 12. 2021"], dt.datetime(2020, 3, 5)),
        (["2020. 3. 5.", "2021. 12. 17."], dt.datetime(2020, 3, 5)),
        (["05MAR2020", "17DEC2021"], dt.datetime(2020, 3, 5)),
        (["05MAR2020:10:00:00", "17DEC2021:11:30:00"], dt.datetime(2020, 3, 5, 10)),
        (["05/Mar/2020:10:00:00 +0000", "17/Dec/2021:11:30:00 +0000"], dt.datetime(2020, 3, 5, 10)),
        (["2020年3月5日", "2021年12月17日"], dt.datetime(2020, 3, 5)),
        (["5. März 2020", "17. Dezember 2021"], dt.datetime(2020, 3, 5)),
        (["5 mars 2020", "17 août 2021"], dt.datetime(2020, 3, 5)),
        (["Monday, January 5, 2020", "Tuesday, March 17, 2021"], dt.datetime(2020, 1, 5)),
        (["Wed Mar 04 10:00:00 +0000 2020", "Thu Dec 17 11:30:00 +0000 2021"], dt.datetime(2020, 3, 4, 10)),
        (["2020/01/05 3:05:00 PM GMT+2", "2020/01/06 4:05:00 AM GMT+2"], dt.datetime(2020, 1, 5, 13, 5)),
    ],
)
def test_dates_are_read_as_people_write_them(written, first):
    found = parsed(written)
    assert found[0] == first
    assert None not in found


@pytest.mark.parametrize("values", [["abc1", "def2"], ["12-34-56", "98-76-54"], ["192.168.0.1", "10.0.0.1"], ["12/7", "13/8"], ["room 12", "room 13"]])
def test_other_text_is_no_date(values):
    assert parsed(values) is None


def test_the_column_tells_the_order_of_day_and_month():
    assert infer_date_format(["03/04/2020", "25/04/2020"], 0.95).date == "%d/%m/%Y"
    assert infer_date_format(["03/04/2020", "04/25/2020"], 0.95).date == "%m/%d/%Y"
    both = infer_date_format(["03/04/2020", "05/06/2020"], 0.95)
    assert (both.date, both.describe()) == ("%m/%d/%Y", "dates with the month first, though the day could be")
    assert infer_date_format(["03.04.2020", "05.06.2020"], 0.95).describe() == "dates with the day first, though the month could be"


def test_a_value_that_is_no_date_is_missing():
    assert parsed(["1.2.2020"] * 30 + ["never"])[-1] is None


def test_durations_and_times_of_day_are_seconds():
    written = ["9:05", "9:05 PM", "12:00 am", "36:00:00", "2 days 03:04:05", "-1 days +23:59:00", "P1DT2H", "PT5M", "-1:30", "soon", None]
    seconds = [32700.0, 75900.0, 0.0, 129600.0, 183845.0, -60.0, 93600.0, 300.0, -5400.0, None, None]
    assert DurationFormat().parse(pa.array(written)).to_pylist() == seconds
