"""CSV files are read as they are, or refused with file, line and column."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_sm.data import load_columns, load_csv
from tinygrad_sm.errors import ArgumentError, DTypeError, FileError

IRIS = "sepal,petal,species\n5.1,1.4,setosa\n7.0,4.7,versicolor\n6.3,6.0,virginica\n4.9,1.5,setosa\n"


@pytest.fixture
def write(tmp_path):
    """A function that writes a file and returns its path."""

    def write(content):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# --- what is read


def test_text_in_the_last_column_gives_sorted_classes(write):
    data = load_csv(write(IRIS))
    np.testing.assert_array_equal(data.inputs, np.array([[5.1, 1.4], [7.0, 4.7], [6.3, 6.0], [4.9, 1.5]], np.float32))
    assert data.targets.tolist() == [0, 1, 2, 0]
    assert data.class_names == ("setosa", "versicolor", "virginica")
    assert data.feature_names == ("sepal", "petal")
    assert data.description == "table.csv"


@pytest.mark.parametrize("target", ["petal", 1, -2, np.int64(1)])
def test_the_target_by_name_or_by_index(write, target):
    data = load_csv(write("sepal,petal,width\n1,0.5,3\n4,1.5,6\n"), target=target)
    assert data.feature_names == ("sepal", "width")
    assert data.inputs.tolist() == [[1, 3], [4, 6]]
    assert data.targets.tolist() == [[0.5], [1.5]]


@pytest.mark.parametrize(
    ("cells", "names"),
    [
        (["10", "2", "10", "2"], ("2", "10")),  # in the order of the numbers
        (["1.0", "0", "1", "0.0"], ("0", "1")),  # the same number is the same class
        (["-1", "1", "1", "-1"], ("-1", "1")),
        (["b", "a", "B", "a"], ("B", "a", "b")),
        (["True", "False", "True", "True"], ("False", "True")),
    ],
)
def test_few_whole_numbers_or_text_are_classes(write, cells, names):
    data = load_csv(write("x,y\n" + "".join(f"0,{cell}\n" for cell in cells)))
    assert data.class_names == names
    assert data.is_classification


@pytest.mark.parametrize(
    "cells",
    [
        ["1.5", "2", "1.5", "2"],  # not whole
        ["1", "2", "3", "4"],  # each once
        [str(k) for k in range(21)] * 3,  # too many
    ],
)
def test_other_numbers_are_to_be_predicted(write, cells):
    data = load_csv(write("x,y\n" + "".join(f"0,{cell}\n" for cell in cells)))
    assert not data.is_classification
    assert data.targets.dtype == np.float32
    assert data.targets.ravel().tolist() == [float(cell) for cell in cells]


def test_twenty_whole_numbers_twice_are_still_classes(write):
    assert len(load_csv(write("x,y\n" + "".join(f"0,{k}\n" for k in range(20)) * 2)).class_names) == 20


def test_classification_decides_outright(write):
    path = write("x,y\n1,2\n2,2\n3,5\n4,5\n")
    assert load_csv(path, classification=False).targets.tolist() == [[2], [2], [5], [5]]
    mixed = write("x,y\n1,2\n2,2a\n3,0.5\n")
    assert load_csv(mixed, classification=True).class_names == ("0.5", "2", "2a")
    assert load_csv(write("x,y\n1,0.5\n2,0.25\n"), classification=True).class_names == ("0.25", "0.5")


def test_class_names_fix_the_classes_and_their_order(write):
    data = load_csv(write("x,y\n1,red\n2,green\n"), class_names=["red", "blue", "green"])
    assert data.targets.tolist() == [0, 2]
    assert data.class_names == ("red", "blue", "green")
    assert load_csv(write("x,y\n1,1\n"), class_names=("0", "1")).targets.tolist() == [1]


def test_features_choose_columns_and_their_order(write):
    data = load_csv(write("id,a,b,y\nx1,1,2,0.5\nx2,3,4,1.5\n"), features=["b", "a"])
    assert data.feature_names == ("b", "a")
    assert data.inputs.tolist() == [[2, 1], [4, 3]]


def test_load_columns_takes_what_a_model_wants_and_reads_no_more(write):
    path = write("id,a,note,b\n?,1,,2\n?,3,,4\n")
    columns = load_columns(path, ("b", "a"))
    assert columns.dtype == np.float32
    assert columns.tolist() == [[2, 1], [4, 3]]


@pytest.mark.parametrize(
    "content",
    [
        IRIS.replace("\n", "\r\n"),
        "\ufeff" + IRIS,
        IRIS.rstrip("\n"),
        "\n\n" + IRIS.replace("\n", "\n\n  \n"),
        IRIS.replace(",", " ,  "),
        '"sepal","petal","species"\n"5.1","1.4","setosa"\n7.0,4.7,versicolor\n6.3,"6.0",virginica\n4.9,1.5,setosa\n',
    ],
    ids=["crlf", "byte-order mark", "no newline at the end", "blank lines", "blanks around cells", "quotes"],
)
def test_the_same_table_however_it_was_saved(write, content):
    plain = load_csv(write(IRIS))
    data = load_csv(write(content))
    np.testing.assert_array_equal(data.inputs, plain.inputs)
    np.testing.assert_array_equal(data.targets, plain.targets)
    assert (data.class_names, data.feature_names) == (plain.class_names, plain.feature_names)


def test_quoted_cells_may_hold_commas_quotes_and_newlines(write):
    data = load_csv(write('"size, in ""cm""",y\n1,"a, b"\n2,"c\nd"\n'))
    assert data.feature_names == ('size, in "cm"',)
    assert data.class_names == ("a, b", "c\nd")


def test_numbered_columns_are_names(write):
    assert load_csv(write("0,1,2\n5,6,0.5\n7,8,1.5\n")).feature_names == ("0", "1")


@given(
    rows=st.lists(
        st.tuples(
            st.floats(width=32, allow_nan=False, allow_infinity=False), st.integers(-999, 999), st.text("ab,\"' ")
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_is_written_is_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "n", "label"])
        writer.writerows((x, n, f"<{label}>") for x, n, label in rows)
    data = load_csv(path)
    np.testing.assert_array_equal(data.inputs, np.array([row[:2] for row in rows], dtype=np.float32))
    assert [data.class_names[target] for target in data.targets] == [f"<{label}>" for *_, label in rows]


# --- what is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("a,b\n", "no data below it"),
        ("a\n1\n", "a single column, 'a'"),
        ("a;b\n1;2\n", "semicolons"),
        ("a\tb\n1\t2\n", "tabs"),
        ("a,,b\n1,2,3\n", "line 1: column 2 has no name"),
        ("a,b, a\n1,2,3\n", "line 1: two columns are called 'a'"),
        ("5.1,1.4\n4.9,1.5\n", "line 1: the first row holds numbers"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells where the header has 2 columns"),
        ("a,b\n1,2\n\n3,4,5\n", "line 4: 3 cells"),
        ("a,b\n1,2\n,4\n", "line 3, column 'a': the value is missing"),
        ("a,b\nNA,2\n", "line 2, column 'a': the value is missing"),
        ("a,b\nnan,2\n", "line 2, column 'a': the value is missing"),
        ("a,b\n1,2\nfoo,4\n", "line 3, column 'a': 'foo' is not a finite float32 number"),
        ('a,b\n1,2\n"1,000",4\n', "line 3, column 'a': '1,000' is not"),
        ("a,b\n1,2\ninf,4\n", "line 3, column 'a': 'inf' is not"),
        ("a,b\n1e39,4\n", "line 2, column 'a': 'inf' is not"),
        ("a,b\n1,1.5\n2,\n", "line 3, column 'b': the value is missing"),
        ("a,b\n1,red\n2,?\n", "line 3, column 'b': the value is missing"),
        (
            "a,b\n1,1.5\n2,1.6x\n",
            "(?s)line 3, column 'b': '1.6x' is not a finite float32 number\n.*classification=True",
        ),
        ("a,b\n1,1.5\n2,1e39\n", "line 3, column 'b': '1e39' is not"),
        ('"a","b"\n"x\ny",2\n', "line 2, column 'a': 'x\\\\ny' is not"),
        ('a,b,c\n1,2,"x\ny"\n1,?,z\n', "line 4, column 'b': the value is missing"),
        ('a,b\n1,"2\n3,4\n', "line 2: unexpected end of data"),
        ('a,b\n1,"2"3\n', "line 2: "),
        ("a,b\n1,é\n".encode("latin-1"), "not a text file in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), "not a text file in UTF-8"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_line_and_column(write, content, message):
    path = write(content)
    with pytest.raises(FileError, match=message) as caught:
        load_csv(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_a_file_that_is_not_there_and_a_folder(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(FileError) as caught:
            load_csv(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target": "specie"}, ArgumentError, "(?s)no column 'specie'\n.*did you mean 'species'"),
        ({"target": "price"}, ArgumentError, "(?s)no column 'price'\n.*choose from 'sepal', 'petal', 'species'"),
        ({"target": 3}, ArgumentError, "no column 3 among 3"),
        ({"target": -4}, ArgumentError, "no column -4 among 3"),
        ({"target": 1.0}, DTypeError, "a column is a name or an index"),
        ({"features": ["sepal", "pedal"]}, ArgumentError, "did you mean 'petal'"),
        ({"features": ["sepal", "species"]}, ArgumentError, "'species' is the target and a feature"),
        ({"features": []}, ArgumentError, "does not list any columns"),
        ({"features": "sepal"}, ArgumentError, "does not list any columns"),
        ({"classification": False}, FileError, "line 2, column 'species': 'setosa' is not"),
        (
            {"class_names": ("setosa", "virginica")},
            FileError,
            "line 3, column 'species': 'versicolor' is not one of the",
        ),
    ],
)
def test_bad_options_are_refused(write, options, error, message):
    with pytest.raises(error, match=message) as caught:
        load_csv(write(IRIS), **options)
    assert caught.value.remedy


def test_load_columns_refuses_what_load_csv_refuses(write):
    with pytest.raises(ArgumentError, match="did you mean 'sepal'"):
        load_columns(write(IRIS), ["sepals"])
    with pytest.raises(FileError, match="line 2, column 'species': 'setosa' is not"):
        load_columns(write(IRIS), ["species"])
    with pytest.raises(ArgumentError, match="does not list any columns"):
        load_columns(write(IRIS), [])


@pytest.mark.parametrize("path", [None, 0, ["table.csv"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(DTypeError, match="a path must be a string"):
        load_csv(path)
