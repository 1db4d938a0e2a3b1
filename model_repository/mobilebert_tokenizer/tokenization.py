"""Text to token ids, without Triton: limits, decoding, one `encode_batch` for all requests, packing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Encoding, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

PAD_ID = 0
# A megabyte costs a second and up to 430 MB to encode, and all but 512 tokens of it are thrown away. So a
# long text is encoded from its first part, this many characters for each token wanted, and from a longer one
# if that is too little.
CHARACTERS_PER_TOKEN = 8
GROWTH = 4
# A cut spoils at most the last word (100 tokens at most: longer words are one unknown token) and a special
# token.
SPOILED_TOKENS = 256


class TextError(ValueError):
    """A request that is refused. The message is for the client and holds nothing of the text."""


@dataclass(frozen=True)
class Limits:
    """`max_tokens` counts [CLS] and [SEP]; `max_text_bytes` is per text, in UTF-8."""

    max_tokens: int = 512
    max_text_bytes: int = 1 << 20


@dataclass(frozen=True)
class Tokens:
    """Answer to one request. `input_ids`: int64 [rows, longest row], rows padded with 0; `num_tokens`: int32
    [rows, 1], what the model reads, special tokens included; `truncated`: bool [rows, 1]."""

    input_ids: np.ndarray
    num_tokens: np.ndarray
    truncated: np.ndarray


def load_tokenizer(path: Path) -> Tokenizer:
    """Read tokenizer.json; its own truncation and padding are switched off, because both are done here."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenize(
    requests: Sequence[np.ndarray], tokenizer: Tokenizer, limits: Limits
) -> list[Tokens | TextError]:
    """Answer every request of a batch; `requests` are object arrays of bytes, [rows, 1].

    A refused request costs only itself: its place in the answer holds the error.
    """
    decoded = [_decode_or_error(texts, limits) for texts in requests]
    accepted = [texts for texts in decoded if not isinstance(texts, TextError)]
    rows = iter(encode([text for texts in accepted for text in texts], tokenizer, limits.max_tokens))
    return [
        texts if isinstance(texts, TextError) else _pack([next(rows) for _ in texts]) for texts in decoded
    ]


def _decode_or_error(texts: np.ndarray, limits: Limits) -> list[str] | TextError:
    try:
        return decode(texts, limits)
    except TextError as error:
        return error


def decode(texts: np.ndarray, limits: Limits) -> list[str]:
    """Strings of a request.

    Raises TextError for a shape other than [rows, 1], a long text or invalid UTF-8.
    """
    if texts.ndim != 2 or texts.shape[1] != 1:
        raise TextError(f"text must have shape [rows, 1], not {list(texts.shape)}")
    return [_decode_row(row, text, limits) for row, text in enumerate(texts[:, 0])]


def _decode_row(row: int, text: bytes, limits: Limits) -> str:
    if len(text) > limits.max_text_bytes:
        raise TextError(f"text {row} has {len(text)} bytes, more than the limit of {limits.max_text_bytes}")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"text {row} is not valid UTF-8 at byte {error.start}") from None


def encode(texts: Sequence[str], tokenizer: Tokenizer, max_tokens: int) -> list[tuple[list[int], bool]]:
    """Ids of each text, at most `max_tokens`, and whether some were cut off at the end."""
    characters = CHARACTERS_PER_TOKEN * (max_tokens + SPOILED_TOKENS)
    if not cuts_are_harmless(tokenizer):
        characters = max(map(len, texts), default=0)
    encodings = tokenizer.encode_batch_fast([text[:characters] for text in texts])
    while short := [
        row
        for row, encoding in enumerate(encodings)
        if len(texts[row]) > characters and len(encoding) < max_tokens + SPOILED_TOKENS
    ]:
        characters *= GROWTH
        again = tokenizer.encode_batch_fast([texts[row][:characters] for row in short])
        for row, encoding in zip(short, again, strict=True):
            encodings[row] = encoding
    return [_truncate(encoding, max_tokens) for encoding in encodings]


def cuts_are_harmless(tokenizer: Tokenizer) -> bool:
    """Whether a text's first tokens depend on its beginning alone: BERT looks at one word at a time."""
    return (
        isinstance(tokenizer.model, WordPiece)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.normalizer, BertNormalizer)
    )


def _truncate(encoding: Encoding, max_tokens: int) -> tuple[list[int], bool]:
    """Keep the closing [SEP], as transformers does."""
    ids = encoding.ids
    if len(ids) <= max_tokens:
        return ids, False
    return [*ids[: max_tokens - 1], ids[-1]], True


def _pack(rows: Sequence[tuple[list[int], bool]]) -> Tokens:
    lengths = [len(ids) for ids, _ in rows]
    input_ids = np.full((len(rows), max(lengths, default=0)), PAD_ID, np.int64)
    for line, (ids, _) in zip(input_ids, rows, strict=True):
        line[: len(ids)] = ids
    truncated = np.array([[cut] for _, cut in rows], np.bool_)
    return Tokens(input_ids, np.array(lengths, np.int32).reshape(-1, 1), truncated)
