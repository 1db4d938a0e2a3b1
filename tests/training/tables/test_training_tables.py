"""Files as people have them: the right rows, with what was understood, or one sentence with the way out."""

import bz2
import gzip
import json
import lzma
import zipfile
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.data import DataError, Examples, ReadOptions, load_examples

ROWS = 'text,label\n"A fine, warm film.",pos\nDull.,neg\n"Two\nlines",pos\nBad.,neg\n'
TEXTS = ["A fine, warm film.", "Dull.", "Two\nlines", "Bad."]


def load(path: Path, content: str | bytes, **options: object) -> Examples:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_examples(str(path), "text", "label", options=ReadOptions(**options))  # type: ignore[arg-type]


def refusal(path: Path, content: str | bytes, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load(path, content, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_unquoted_comma_is_refused_by_row_and_loses_nothing(tmp_path: Path) -> None:
    rows = "text,label\nfine,pos\n" + "well, it was bad,neg\n" * 20
    message = refusal(tmp_path / "a.csv", rows)
    assert "row 2: 3 values where the header has 2 (text, label)" in message
    assert "put a text that holds commas in double quotes" in message


def test_an_unquoted_comma_in_every_row_is_refused_too(tmp_path: Path) -> None:
    assert "row 1: 3 values" in refusal(
        tmp_path / "a.csv", "text,label\n" + "well, bad,neg\nwell, good,pos\n" * 10
    )


def test_a_row_with_too_few_values_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.csv", "text,label\nfine,pos\nfirst line\nsecond,neg\n")
    assert "row 2: 1 values where the header has 2" in message
    assert "line break" in message


@pytest.mark.parametrize(
    ("row", "words"),
    [('"never closed,neg\nfine,pos\n', "never closed"), ('"Great" they said,neg\n', "write a quote")],
)
def test_quotes_that_do_not_match_are_refused_by_row(tmp_path: Path, row: str, words: str) -> None:
    message = refusal(tmp_path / "a.csv", "text,label\nfine,pos\nbad,neg\n" + row)
    assert "row 3: " in message
    assert words in message


def test_quotes_within_a_text_are_kept(tmp_path: Path) -> None:
    examples = load(tmp_path / "a.csv", 'text,label\nsay "hi",pos\n"say ""ho"", now",neg\n')
    assert examples.texts == ['say "hi"', 'say "ho", now']


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_another_separator_is_recognised_and_said(tmp_path: Path, separator: str, name: str) -> None:
    rows = pd.DataFrame({"text": TEXTS, "label": ["pos", "neg"] * 2}).to_csv(index=False, sep=separator)
    examples = load(tmp_path / "a.csv", rows)
    assert examples.texts == TEXTS
    assert f"values are separated by {name}" in examples.notes


def test_a_tsv_with_commas_in_it_is_taken_by_its_name(tmp_path: Path) -> None:
    examples = load(tmp_path / "a.TSV", "text\tlabel\nwell, bad\tneg\nfine; good\tpos\n")
    assert examples.texts == ["well, bad", "fine; good"]
    assert examples.notes == ()


def test_excels_line_with_the_separator_is_not_a_header(tmp_path: Path) -> None:
    assert (
        load(tmp_path / "a.csv", "sep=;\r\ntext;label\r\nfine, good;pos\r\nbad;neg\r\n").texts[0]
        == "fine, good"
    )


def test_two_columns_of_one_name_are_refused_where_they_matter(tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.csv", "text,label,text\nfine,pos,other\nbad,neg,other\n")
    assert "2 columns named 'text' (columns 1 and 3)" in message
    assert load(tmp_path / "b.csv", "x,text,x,label\n1,fine,2,pos\n1,bad,2,neg\n").texts == ["fine", "bad"]


@pytest.mark.parametrize("header", ["Text,LABEL", " text , label", "\ufefftext,label"])
def test_white_space_and_case_of_column_names_do_not_matter(tmp_path: Path, header: str) -> None:
    examples = load(tmp_path / "a.csv", f"{header}\nfine,pos\nbad,neg\n")
    assert examples.texts == ["fine", "bad"]
    assert len(examples.notes) == (0 if "text,label" in header else 2)


def test_the_columns_of_a_file_without_header_are_shown_short(tmp_path: Path) -> None:
    message = refusal(tmp_path / "a.csv", "x" * 5000 + ",pos\nbad,neg\n")
    assert len(message) < 400
    assert "the first row of a CSV must name the columns" in message


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_compressed_files_load(tmp_path: Path, suffix: str, pack: object) -> None:
    assert load(tmp_path / f"a.csv{suffix}", pack(ROWS.encode())).texts == TEXTS  # type: ignore[operator]
    lines = "".join(json.dumps({"text": text, "label": i % 2}) + "\n" for i, text in enumerate(TEXTS))
    assert load(tmp_path / f"A.JSONL{suffix.upper()}", pack(lines.encode())).texts == TEXTS  # type: ignore[operator]


def test_a_zip_archive_of_one_file_loads_and_of_two_is_refused(tmp_path: Path) -> None:
    for count in (1, 2):
        with zipfile.ZipFile(tmp_path / f"{count}.csv.zip", "w") as archive:
            for number in range(count):
                archive.writestr(f"{number}.csv", ROWS)
    assert load_examples(str(tmp_path / "1.csv.zip"), "text", "label").texts == TEXTS
    with pytest.raises(DataError, match="it holds 2 files, not one"):
        load_examples(str(tmp_path / "2.csv.zip"), "text", "label")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    assert "cannot be unpacked" in refusal(tmp_path / "a.csv.gz", gzip.compress(ROWS.encode())[:-9])
    assert "cannot be unpacked" in refusal(tmp_path / "b.csv.gz", ROWS)


def test_an_upper_case_name_loads(tmp_path: Path) -> None:
    assert load(tmp_path / "REVIEWS.CSV", ROWS).texts == TEXTS


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.xlsx", "an Excel workbook: save the sheet as CSV UTF-8"),
        ("a.PKL", "a pickle, which can run code"),
        ("a.feather", "write it as parquet"),
        ("a.txt", "plain text, without columns"),
        ("a.csv.zst", "packed: unpack it"),
        ("reviews", "the name does not say the format"),
        ("a.data", "the name does not say the format"),
    ],
)
def test_other_formats_are_named_with_the_way_out(tmp_path: Path, name: str, words: str) -> None:
    assert words in refusal(tmp_path / name, b"PK\x03\x04...")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04\x14\x00", "a zip archive or an Excel workbook, whatever its name says"),
        (gzip.compress(b"text,label\n", mtime=0), "compressed with gzip; its name should end in .gz"),
        (b"PAR1....", "a parquet file; its name should end in .parquet"),
    ],
)
def test_a_name_that_belies_the_content_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(tmp_path / "a.csv", content)


def test_windows_1252_is_refused_with_the_byte_and_read_with_encoding(tmp_path: Path) -> None:
    rows = "text,label\nfine,pos\n“café”,neg\n".encode("windows-1252")
    message = refusal(tmp_path / "a.csv", rows)
    assert "row 2: not UTF-8 (byte 20 is 0x93)" in message
    assert "--encoding windows-1252" in message
    assert load(tmp_path / "a.csv", rows, encoding="windows-1252").texts == ["fine", "“café”"]


def test_utf_16_is_recognised_by_its_mark_or_by_its_zeros(tmp_path: Path) -> None:
    assert "--encoding utf-16" in refusal(tmp_path / "a.csv", ROWS.encode("utf-16"))
    assert "--encoding utf-16-le" in refusal(tmp_path / "a.csv", ROWS.encode("utf-16-le"))
    assert load(tmp_path / "a.csv", ROWS.encode("utf-16"), encoding="utf-16").texts == TEXTS


def test_an_encoding_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "no such encoding" in refusal(tmp_path / "a.csv", ROWS, encoding="utf-9")


def test_a_text_longer_than_the_csv_modules_limit_loads(tmp_path: Path) -> None:
    assert len(load(tmp_path / "a.csv", f"text,label\n{'long ' * 40_000},pos\nbad,neg\n").texts[0]) == 200_000


def test_incomplete_rows_are_dropped_only_when_asked_and_counted(tmp_path: Path) -> None:
    rows = "text,label\nfine,pos\n,neg\nodd,\nbad,neg\n  ,\n"
    assert "row 2: the text is empty; remove the row, or add --drop-incomplete" in refusal(
        tmp_path / "a.csv", rows
    )
    examples = load(tmp_path / "a.csv", rows, drop_incomplete=True)
    assert (examples.texts, examples.dropped) == (["fine", "bad"], 3)
    assert examples.numbers().tolist() == [1, 4]


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    assert "has a header, but no rows" in refusal(tmp_path / "a.csv", "text,label\n")


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (json.dumps([{"text": "a", "label": "x"}, {"text": "b", "label": "y"}], indent=1), ""),
        (json.dumps({"data": [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]}), "from 'data'"),
        (pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}).to_json(), "holds columns"),
        (json.dumps({"text": ["a", "b"], "label": ["x", "y"]}), "holds columns"),
    ],
)
def test_shapes_of_json_load_and_are_said(tmp_path: Path, content: str, note: str) -> None:
    examples = load(tmp_path / "a.json", content)
    assert (examples.texts, examples.names) == (["a", "b"], ("x", "y"))
    assert note in " ".join(examples.notes)


def test_nested_json_is_reached_by_a_path(tmp_path: Path) -> None:
    lines = "".join(
        json.dumps({"review": {"body": text}, "meta": {"stars": stars}}) + "\n"
        for text, stars in (("a", 1), ("b", 5))
    )
    (tmp_path / "a.jsonl").write_text(lines)
    examples = load_examples(str(tmp_path / "a.jsonl"), "review.body", "meta.stars")
    assert (examples.texts, examples.names) == (["a", "b"], ("1", "5"))
    with pytest.raises(DataError, match="row 1: there is no 'title' inside"):
        load_examples(str(tmp_path / "a.jsonl"), "review.title", "meta.stars")
    with pytest.raises(DataError, match=r"row 1: the text is \{'body': 'a'\}, not a string"):
        load_examples(str(tmp_path / "a.jsonl"), "review", "meta.stars")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"text": "a", "text": "b", "label": 1}', "row 2: the key 'text' occurs twice"),
        ('{"text": "\\ud83d", "label": 1}', "row 2: the text holds half a character"),
        ('{"text": 5, "label": 1}', "row 2: the text is 5, not a string"),
        ('{"label": 1}', "row 2: the text is None"),
        ('{"text": "a", "label": NaN}', "row 2: the label is missing"),
        ('{"text": "a", "label": {"name": "x"}}', "row 2: the label is {'name': 'x'}, not a word"),
    ],
)
def test_json_rows_that_cannot_be_meant_are_refused(tmp_path: Path, line: str, words: str) -> None:
    assert words in refusal(tmp_path / "a.jsonl", '{"text": "x", "label": 0}\n' + line + "\n")


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pa.array([True, False, True]), ("False", "True")),
        (pa.array([1.0, 0.0, 1.0]), ("0", "1")),
        (pa.array(["b", "a", "b"]).dictionary_encode(), ("a", "b")),
        (pa.array([10, 9, 10], pa.int8()), ("9", "10")),
        (pa.array(["b", "a", "b"], pa.large_string()), ("a", "b")),
    ],
)
def test_parquet_columns_of_any_type_become_labels(
    tmp_path: Path, column: pa.Array, names: tuple[str, ...]
) -> None:
    path = tmp_path / "a.parquet"
    texts = pa.array(["x", "y", "z"]).dictionary_encode()
    pq.write_table(pa.table({"text": texts, "label": column}), path)
    examples = load_examples(str(path), "text", "label")
    assert (examples.texts, examples.names, examples.labels.tolist()) == (["x", "y", "z"], names, [1, 0, 1])


@pytest.mark.parametrize(
    ("texts", "labels", "words"),
    [
        (pa.array([b"x", b"y"]), pa.array([0, 1]), "row 1: the text is b'x', not a string"),
        (pa.array(["x", "y"]), pa.array([0.0, float("nan")]), "row 2: the label is missing"),
        (pa.array(["x", "y"]), pa.array([0, None]), "row 2: the label is missing"),
        (pa.array(["x", "y"]), pa.array([b"0", b"1"]), "row 1: the label is b'0', not a word"),
    ],
)
def test_parquet_values_that_cannot_be_meant_are_refused(
    tmp_path: Path, texts: pa.Array, labels: pa.Array, words: str
) -> None:
    pq.write_table(pa.table({"text": texts, "label": labels}), tmp_path / "a.parquet")
    with pytest.raises(DataError) as caught:
        load_examples(str(tmp_path / "a.parquet"), "text", "label")
    assert words in str(caught.value)


def test_class_names_stored_in_a_parquet_file_are_kept(tmp_path: Path) -> None:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])}
    )
    content = datasets.Dataset.from_dict({"text": ["x", "y"], "label": [1, 0]}, features=features)
    content.to_parquet(tmp_path / "a.parquet")
    examples = load_examples(str(tmp_path / "a.parquet"), "text", "label")
    assert (examples.names, examples.labels.tolist()) == (("no", "yes"), [1, 0])


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    assert "cannot be read as parquet" in refusal(tmp_path / "a.parquet", b"PAR1 and nothing else")
