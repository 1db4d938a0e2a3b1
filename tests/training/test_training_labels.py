"""Labels: numbers sort as numbers, what looks alike is refused, several a text become zeros and ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.data import DataError, Examples, ReadOptions, load_examples, split_examples


def load(path: Path, labels: list[object], names: tuple[str, ...] = (), **options: object) -> Examples:
    """Labels as a CSV holds them (words and numbers as text), or as JSON if one is not a string."""
    if all(isinstance(label, str) for label in labels):
        path = path.with_suffix(".csv")
        path.write_text("text,label\n" + "".join(f"text {i},{label}\n" for i, label in enumerate(labels)))
    else:
        rows = [{"text": f"text {i}", "label": label} for i, label in enumerate(labels)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load_examples(str(path), "text", "label", names, options=ReadOptions(**options))  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.jsonl"


def test_numbers_sort_as_numbers_and_keep_their_index(path: Path) -> None:
    order = [11, 3, 0, 7, 1, 10, 2, 4, 9, 5, 8, 6] * 2
    examples = load(path, [str(number) for number in order])
    assert examples.names == tuple(str(number) for number in range(12))
    assert examples.labels.tolist() == order


def test_stars_and_negative_numbers_sort_as_numbers(path: Path) -> None:
    assert load(path, ["10", "-1", "2.5", "-10"] * 2).names == ("-10", "-1", "2.5", "10")


@pytest.mark.parametrize("labels", [["0.0", "1.0", "1.0"], [0.0, 1.0, 1.0], ["0", "1.0", "1"]])
def test_whole_numbers_with_a_point_are_whole_numbers_and_it_is_said(
    path: Path, labels: list[object]
) -> None:
    examples = load(path, labels)
    assert (examples.names, examples.labels.tolist()) == (("0", "1"), [0, 1, 1])
    assert "labels such as 1.0 were read as 1" in examples.notes


def test_whole_numbers_with_a_point_take_the_given_names(path: Path) -> None:
    assert load(path, ["0.0", "1.0"], ("neg", "pos")).names == ("neg", "pos")


def test_white_space_around_labels_is_left_out_and_said(path: Path) -> None:
    examples = load(path, ["pos", "pos ", " neg", "neg"])
    assert (examples.names, examples.labels.tolist()) == (("neg", "pos"), [1, 1, 0, 0])
    assert "white space around labels was left out" in examples.notes


@pytest.mark.parametrize(
    ("one", "other"), [("Pos", "pos"), ("caf\u00e9", "cafe\u0301"), ("01", "1"), ("ﬁne", "fine")]
)
def test_labels_that_look_alike_are_refused_with_both_rows(path: Path, one: str, other: str) -> None:
    with pytest.raises(DataError, match=r"\(row 1\) and .* \(row 3\) differ only in how they are written"):
        load(path, [one, "bad", other])


def test_a_label_column_of_texts_is_refused(path: Path) -> None:
    with pytest.raises(DataError, match="100 different labels in 120 rows; is it the right column"):
        load(path, [f"free text {min(i, 99)}" for i in range(120)])


def test_two_hundred_classes_load_and_split(path: Path) -> None:
    examples = load(path, [f"class {i % 200}" for i in range(600)])
    kept, held_out = split_examples(examples, 0.1, seed=0)
    assert len(examples.names) == 200
    assert kept.counts().tolist() == [2] * 200
    assert held_out.counts().tolist() == [1] * 200


@pytest.mark.parametrize("seed", range(5))
def test_a_class_of_two_texts_has_one_on_each_side(path: Path, seed: int) -> None:
    kept, held_out = split_examples(load(path, ["rare"] * 2 + ["common"] * 500), 0.1, seed)
    assert kept.counts().tolist() == [450, 1]
    assert held_out.counts().tolist() == [50, 1]


def test_a_split_follows_the_seed_and_keeps_row_numbers(path: Path) -> None:
    examples = load(path, ["a", "b", "c"] * 20)
    first, again = (split_examples(examples, 0.25, seed=4)[1] for _ in range(2))
    assert first.texts == again.texts
    assert first.texts != split_examples(examples, 0.25, seed=5)[1].texts
    assert [f"text {number - 1}" for number in first.numbers()] == first.texts


def test_lists_become_zeros_and_ones(path: Path) -> None:
    examples = load(path, [["a", "b"], [], ["b"], ["a", "a"]])
    assert examples.multi_label
    assert examples.names == ("a", "b")
    assert examples.labels.dtype == np.float32
    assert examples.labels.tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]]


def test_a_separator_cuts_the_cells_of_a_csv(path: Path) -> None:
    examples = load(path, ["a|b", "b | c", "c"], label_separator="|")
    assert examples.names == ("a", "b", "c")
    assert examples.labels.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_lists_of_numbers_take_the_given_names(path: Path) -> None:
    examples = load(path, [[0, 2], [1]], ("x", "y", "z"))
    assert examples.labels.tolist() == [[1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([["a"], "b"], "row 2: the label is 'b', where other rows have a list"),
        ([["a", "b"], ["c", None]], "row 2: the label is missing"),
        ([["a"], ["a"]], "one class only"),
    ],
)
def test_lists_that_cannot_be_meant_are_refused(path: Path, labels: list[object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(path, labels)


def test_a_label_outside_the_names_in_a_list_is_refused_by_row(path: Path) -> None:
    with pytest.raises(DataError, match="row 2: unknown label 'z'"):
        load(path, [["a"], ["z"], ["b"]], ("a", "b"))


def test_a_multi_label_split_keeps_texts_and_rows_together(path: Path) -> None:
    examples = load(path, [["a"], ["b"], ["a", "b"], []] * 10)
    kept, held_out = split_examples(examples, 0.25, seed=1)
    assert (len(kept.texts), len(held_out.texts)) == (30, 10)
    for part in (kept, held_out):
        assert (part.labels == examples.labels[part.numbers() - 1]).all()
