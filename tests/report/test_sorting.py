from parallax.report.sorting import sort_keys


def test_numbers_are_sorted_as_numbers_and_what_is_missing_comes_first():
    rows = [
        ("a", "0.715 ± 0.013", "1.25 M", "< 0.001"),
        ("b", "–", "412 k", "0.020"),
        ("c", "failed", "7", "–"),
    ]
    keys = sort_keys(rows)
    assert [row[0] for row in keys] == [None, None, None]
    assert [row[1] for row in keys] == [0.715, -1e300, -1e300]
    assert [row[2] for row in keys] == [1.25e6, 412e3, 7.0]
    assert [row[3] for row in keys] == [0.001, 0.02, -1e300]


def test_a_column_with_any_text_is_text():
    assert sort_keys([("1: CMC",), ("none",)]) == [[None], [None]]
    assert sort_keys([("+2.9 (+1.0 to +4.8)",), ("-3",)]) == [[2.9], [-3.0]]
