"""The table that is printed before training says what the rows hold."""

import io

import numpy as np
from rich.console import Console

from training.data import Examples
from training.summary import print_summary, summary_rows


def examples() -> Examples:
    texts = ["short", "a much longer text", "two\nlines", "short"]
    return Examples(
        texts, np.array([0, 1, 1, 1]), ("neg", "pos"), ("values are separated by tabs",), dropped=2
    )


def test_rows_labels_lengths_and_notes_are_there() -> None:
    rows = dict(summary_rows(examples()))
    assert rows["rows"] == "4"
    assert rows["rows dropped"] == "2 without a text or a label"
    assert (rows["label 0"], rows["label 1"]) == ("neg: 1", "pos: 3")
    assert rows["longest text"] == "18 characters (row 2)"
    assert rows["texts of several lines"] == "1"
    assert rows["texts that occur again"] == "1"
    assert rows["texts with different labels"] == "1 (such as rows 1 and 4)"
    assert rows["understood"] == "values are separated by tabs"


def test_two_hundred_labels_are_shown_short() -> None:
    labels = np.repeat(np.arange(200), np.arange(1, 201))
    many = Examples([str(i) for i in range(len(labels))], labels, tuple(f"class {i}" for i in range(200)))
    rows = summary_rows(many)
    assert len(rows) < 32
    assert ("label 199", "class 199: 200") in rows
    assert ("180 other labels", "1 to 180 each, 16,290 in all") in rows
    assert "9: too few to learn or to judge by" in dict(rows).values()


def test_texts_without_a_label_are_counted() -> None:
    several = Examples(["x", "y"], np.array([[0, 0], [1, 1]], np.float32), ("a", "b"))
    assert ("texts without a label", "1") in summary_rows(several)


def test_the_table_prints_square_brackets_as_they_are() -> None:
    output = io.StringIO()
    odd = Examples(["x", "y"], np.array([0, 1]), ("[red]", "[/b]"))
    print_summary("data [x].csv", odd, Console(file=output, width=100))
    assert "[red]: 1" in output.getvalue()
    assert "[/b]: 1" in output.getvalue()
    assert "data [x].csv" in output.getvalue()
