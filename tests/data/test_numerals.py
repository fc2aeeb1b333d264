import pyarrow as pa
import pytest

from zcurate.data.numerals import NumberFormat, infer_number_format


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        (["1,234.50", "12.00", "999.9"], [1234.5, 12.0, 999.9]),
        (["1,234", "5,678", "12"], [1234.0, 5678.0, 12.0]),
        (["1.234,50", "12,5", "3"], [1234.5, 12.5, 3.0]),
        (["1.234.567", "4", "12.345"], [1234567.0, 4.0, 12345.0]),
        (["1.120", "908", "23.450"], [1120.0, 908.0, 23450.0]),
        (["1 234,5", "12,1"], [1234.5, 12.1]),
        (["1\u202f234", "567"], [1234.0, 567.0]),
        (["1'234.5", "8"], [1234.5, 8.0]),
        (["0,512", "1,234"], [0.512, 1.234]),
        (["1.12", "3", "4.125"], [1.12, 3.0, 4.125]),
        (["$1,234", "-$3", "$ 5.5"], [1234.0, -3.0, 5.5]),
        (["12 €", "1.250,75 €"], [12.0, 1250.75]),
        (["CHF 12.50", "CHF 3"], [12.5, 3.0]),
        (["12.5%", "3 %"], [12.5, 3.0]),
        (["(1,234)", "500"], [-1234.0, 500.0]),
        (["500-", "20"], [-500.0, 20.0]),
        (["\u22125.2", "3"], [-5.2, 3.0]),
        (["\uff11\uff12", "3"], [12.0, 3.0]),
        (["<0.01", "> 5", "0.5"], [0.01, 5.0, 0.5]),
        (["72 kg", "80kg", "65.5 kg"], [72.0, 80.0, 65.5]),
        (["20 °C", "-3 °C"], [20.0, -3.0]),
        (["5 m/s", "7.1 m/s"], [5.0, 7.1]),
        (["1e-3", "2E5"], [0.001, 200000.0]),
        (["12,34,567", "45,678"], [1234567.0, 45678.0]),
        (["1\u2019234.50", "12.00"], [1234.5, 12.0]),
        (["Rs. 500", "Rs. 1,200"], [500.0, 1200.0]),
        (["MXN 500", "MXN 20"], [500.0, 20.0]),
        (["500,-", "20,-"], [500.0, 20.0]),
        (['="1.5"', '="20"'], [1.5, 20.0]),
        (["50 m²", "120.5 m²"], [50.0, 120.5]),
        (["3 µg", "4.5 µg"], [3.0, 4.5]),
    ],
)
def test_numbers_are_read_as_people_write_them(written, numbers):
    assert infer_number_format(written).parse(pa.array(written)).to_pylist() == numbers


@pytest.mark.parametrize(
    ("written", "odd"),
    [
        (["72 kg", "80 kg", "150 lb"], 2),
        (["12.5", "13.5", "n.b."], 2),
        (["1,5", "2,5", "1,2,3"], 2),
        (["3 rooms", "4 rooms", "many"], 2),
        (["125", "13", "125¹"], 2),
    ],
)
def test_a_value_of_another_form_is_missing(written, odd):
    assert infer_number_format(written).parse(pa.array(written))[odd].as_py() is None


def test_points_are_thousands_where_the_file_has_decimal_commas():
    assert infer_number_format(["1.120", "2.340"], decimal_comma=True).parse(pa.array(["1.120", "2.340"])).to_pylist() == [1120.0, 2340.0]
    assert infer_number_format(["1.120", "2.340"]) == NumberFormat()


def test_a_format_is_described():
    assert NumberFormat().describe() == ""
    assert NumberFormat(",", ".", "€").describe() == "decimal mark ',', thousands separator '.', unit '€'"
