"""A checkpoint whose author means harm: refused in one line, before anything is read or built from it."""

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.checkpoint.reading import load_checkpoint
from export.checkpoint.untrusted import MAX_CONFIG_BYTES, MAX_NUMBER, member, members
from export.errors import CheckpointError
from tests.export.refusals import refused

ROOT = Path(__file__).parents[3]


class TestNames:
    """What a shard's index, an adapter or a config may call a file."""

    @pytest.mark.parametrize(
        "name",
        [
            "../model.safetensors",
            "/etc/passwd",
            "a/b.safetensors",
            "..",
            ".",
            "",
            "..\\model.safetensors",
            "C:\\model",
            "C:model",
            "model\0.safetensors",
            "model\n.safetensors",
            "model\u202e.safetensors",
            7,
            None,
            ["model.safetensors"],
        ],
    )
    def test_a_name_that_leads_elsewhere_is_refused(self, name: Any, tmp_path: Path) -> None:
        refused(lambda: member(tmp_path, name), "not the name of a file")
        refused(lambda: members(tmp_path, ["model.safetensors", name]), "not the name of a file")

    @settings(deadline=None)
    @given(st.text())
    def test_an_accepted_name_stays_in_the_folder(self, name: str) -> None:
        folder = Path("/nowhere")
        try:
            path = member(folder, name)
        except CheckpointError:
            return
        assert Path(os.path.normpath(path)).parent == folder
        assert path.name == name

    def test_plain_names_are_accepted_once_each(self, tmp_path: Path) -> None:
        names = ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"]
        assert members(tmp_path, names * 2) == [tmp_path / name for name in sorted(names)]

    def test_a_link_out_of_the_folder_is_refused(self, tmp_path: Path) -> None:
        folder = tmp_path / "checkpoint"
        folder.mkdir()
        (tmp_path / "secret.json").write_text("{}")
        (folder / "tokenizer.json").symlink_to("../secret.json")
        refused(lambda: member(folder, "tokenizer.json"), "link to a place outside")

    def test_a_link_within_the_folder_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "a.json").write_text("{}")
        (tmp_path / "b.json").symlink_to("a.json")
        assert member(tmp_path, "b.json").read_text() == "{}"

    def test_the_cache_of_the_hub_is_followed(self, tmp_path: Path) -> None:
        blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "1234"
        blobs.mkdir()
        snapshot.mkdir(parents=True)
        (blobs / "abcd").write_text("{}")
        (snapshot / "config.json").symlink_to("../../blobs/abcd")
        assert member(snapshot, "config.json").read_text() == "{}"

    def test_what_never_ends_is_not_opened(self, own_checkpoint: Path) -> None:
        (own_checkpoint / "config.json").unlink()
        os.mkfifo(own_checkpoint / "config.json")
        refused(lambda: load_checkpoint(own_checkpoint), "not a regular file")


class TestSizes:
    """Files and numbers of absurd size."""

    @pytest.mark.parametrize(
        "name",
        [
            "config.json",
            "tokenizer.json",
            "golden.jsonl",
            "model.safetensors",
            "activation_ranges.safetensors",
        ],
    )
    def test_an_absurd_file_is_refused_unread(self, name: str, own_checkpoint: Path) -> None:
        with (own_checkpoint / name).open("ab") as file:
            file.truncate(1 << 40)  # sparse: takes no room here, and all memory of whoever reads it
        refused(lambda: load_checkpoint(own_checkpoint), name)

    @pytest.mark.parametrize("field", ["num_labels", "num_hidden_layers", "vocab_size", "hidden_size"])
    @pytest.mark.parametrize("value", [MAX_NUMBER + 1, 10**18, -(10**18)])
    def test_an_absurd_number_is_refused_by_name(self, field: str, value: int, own_checkpoint: Path) -> None:
        path = own_checkpoint / "config.json"
        config = {key: each for key, each in json.loads(path.read_text()).items() if key != "id2label"}
        path.write_text(json.dumps({**config, field: value}))
        refused(lambda: load_checkpoint(own_checkpoint), field)

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "golden.jsonl"])
    @pytest.mark.parametrize(
        "deep", ["[" * 200_000, '{"a":' * 200_000, '{"a":' + "[" * 200_000 + "]" * 200_000 + "}"]
    )
    def test_deep_nesting_is_refused(self, name: str, deep: str, own_checkpoint: Path) -> None:
        (own_checkpoint / name).write_text(deep)
        refused(lambda: load_checkpoint(own_checkpoint), name)

    def test_a_number_of_a_million_digits_is_refused(self, own_checkpoint: Path) -> None:
        (own_checkpoint / "config.json").write_text('{"hidden_size": ' + "9" * (MAX_CONFIG_BYTES - 100) + "}")
        refused(lambda: load_checkpoint(own_checkpoint), "config.json")


PICKLERS = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


@pytest.mark.parametrize(
    "package", ["export", "serving", "model_repository", "clients", "gateway", "bulk", "training"]
)
def test_no_model_file_is_read_with_pickle(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not pickles(node), f"{path.relative_to(ROOT)}:{node.lineno} may run code from a file"


def pickles(node: ast.AST) -> bool:
    """Whether the statement or call may unpickle."""
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in PICKLERS for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return str(node.module).split(".")[0] in PICKLERS
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if called == "torch.load":
        return given.get("weights_only") != "True"
    return given.get("allow_pickle") == "True" or given.get("trust_remote_code") == "True"


@pytest.mark.parametrize("source", ["import pickle", "torch.load(x)", "np.load(x, allow_pickle=True)"])
def test_the_search_for_pickle_finds_it(source: str) -> None:
    assert any(pickles(node) for node in ast.walk(ast.parse(source)))
