"""The tokenizer of a checkpoint's folder as one tokenizer.json, whichever files describe it.

Older uploads have `vocab.txt` alone; its tokenizer is built as transformers builds it. And where a
`tokenizer.json` and `tokenizer_config.json` disagree about case, accents or Chinese characters, transformers
follows the latter, and so does export.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.checkpoint.tokenizer_files import check_tokenizer_file
from export.checkpoint.untrusted import MAX_TOKENIZER_BYTES, check_size, member, read_json
from export.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

TOKENIZER, VOCABULARY, SETTINGS = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
_LEGACY = ("special_tokens_map.json", "added_tokens.json")
_SPECIAL = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"} | {
    "mask_token": "[MASK]"
}
# Classes whose normalizer transformers sets by tokenizer_config.json; others are as tokenizer.json says.
_BERT = {"BertTokenizer", "BertTokenizerFast", "MobileBertTokenizer", "MobileBertTokenizerFast", None}


def tokenizer_files(folder: Path) -> list[Path]:
    """The files that the folder's tokenizer is read from; at least tokenizer.json or vocab.txt.

    Raises:
        CheckpointError: it has neither.
    """
    settings = [folder / SETTINGS] if member(folder, SETTINGS).is_file() else []
    if member(folder, TOKENIZER).is_file():
        return [folder / TOKENIZER, *settings]
    if member(folder, VOCABULARY).is_file():
        legacy = [folder / name for name in _LEGACY if member(folder, name).is_file()]
        return [folder / VOCABULARY, *settings, *legacy]
    raise CheckpointError(
        f"{folder}: {TOKENIZER} and {VOCABULARY} are missing; save the model's tokenizer with save_pretrained"
    )


def read_tokenizer(folder: Path) -> tuple[bytes, tuple[str, ...]]:
    """tokenizer.json's content, and what was done to get it.

    Raises:
        CheckpointError: a file is missing, damaged or contradicts itself.
    """
    first, *others = tokenizer_files(folder)
    if first.name == TOKENIZER:
        check_tokenizer_file(first)
    settings = {
        key: value for path in others if path.name != _LEGACY[1] for key, value in _read(path).items()
    }
    if first.name == TOKENIZER:
        return _reconciled(first, settings)
    tokenizer = _build(first, settings, folder / _LEGACY[1])
    return tokenizer.to_str().encode(), (f"the fast tokenizer was built from {VOCABULARY}",)


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, MAX_TOKENIZER_BYTES)


def _reconciled(path: Path, settings: Mapping[str, Any]) -> tuple[bytes, tuple[str, ...]]:
    content, stored = path.read_bytes(), _read(path)
    normalizer = stored.get("normalizer")
    if settings.get("tokenizer_class") not in _BERT or not isinstance(normalizer, dict):
        return content, ()
    wanted = {key: value for key, value in _normalizer(settings).items() if normalizer.get(key) != value}
    if normalizer.get("type") != "BertNormalizer" or not wanted:
        return content, ()
    stored["normalizer"] = {**normalizer, **wanted}
    changes = ", ".join(f"{key} {json.dumps(value)}" for key, value in wanted.items())
    note = f"{SETTINGS} overrides {TOKENIZER}, as in transformers: {changes}"
    return json.dumps(stored, ensure_ascii=False).encode(), (note,)


def _normalizer(settings: Mapping[str, Any]) -> dict[str, Any]:
    """BertNormalizer's fields, with transformers' defaults."""
    fields = {
        "lowercase": ("do_lower_case", True),
        "strip_accents": ("strip_accents", None),
        "handle_chinese_chars": ("tokenize_chinese_chars", True),
    }
    values = {field: settings.get(key, default) for field, (key, default) in fields.items()}
    for field, (key, default) in fields.items():
        if not (isinstance(values[field], bool) or values[field] is default):
            raise CheckpointError(f"{SETTINGS}: {key} is {values[field]!r}: it must be true or false")
    return values


def _build(vocabulary: Path, settings: Mapping[str, Any], added: Path) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    check_size(vocabulary, MAX_TOKENIZER_BYTES)
    special = {key: _content(settings.get(key) or default) for key, default in _SPECIAL.items()}
    try:
        words = models.WordPiece.read_file(str(vocabulary))
    except Exception as error:  # `tokenizers` raises nothing more specific
        raise CheckpointError(f"{vocabulary} cannot be read ({error}); save or download it again") from error
    for key in ("unk_token", "cls_token", "sep_token"):
        if special[key] not in words:
            raise CheckpointError(f"{vocabulary} lacks {special[key]}, the {key}; save the tokenizer again")
    tokenizer = Tokenizer(models.WordPiece(words, unk_token=special["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(clean_text=True, **_normalizer(settings))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    cls, sep = special["cls_token"], special["sep_token"]
    tokenizer.post_processor = processors.BertProcessing((sep, words[sep]), (cls, words[cls]))
    _add_tokens(tokenizer, settings, special, added)
    return tokenizer


def _add_tokens(
    tokenizer: "Tokenizer", settings: Mapping[str, Any], special: Mapping[str, str], added: Path
) -> None:
    """Added tokens in the order of their ids, then special ones, which are never split."""
    from tokenizers import AddedToken

    for number, token in _numbered(settings, added):
        tokenizer.add_tokens([token])
        if tokenizer.token_to_id(token.content) != number:
            raise CheckpointError(
                f"{added.parent}: the added token {token.content!r} has id {number}, which does not follow "
                f"{VOCABULARY}; save the tokenizer again"
            )
    extra = settings.get("extra_special_tokens") or settings.get("additional_special_tokens") or []
    names = [*special.values(), *map(_content, extra.values() if isinstance(extra, Mapping) else extra)]
    known = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    tokenizer.add_tokens([AddedToken(each, special=True) for each in names if each not in known])


def _numbered(settings: Mapping[str, Any], added: Path) -> Iterator[tuple[int, "AddedToken"]]:
    from tokenizers import AddedToken

    decoder: dict[Any, Any] = settings.get("added_tokens_decoder") or {}
    if not decoder and added.is_file():
        decoder = {number: {"content": content} for content, number in _read(added).items()}
    try:
        for number in sorted(decoder, key=int):
            fields = {key: value for key, value in decoder[number].items() if key != "__type"}
            yield int(number), AddedToken(**fields)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{added.parent}: added tokens are damaged ({error}); save it again") from error


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, Mapping) else token)
