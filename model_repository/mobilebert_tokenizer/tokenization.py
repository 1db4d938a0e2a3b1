"""Text to token ids, without Triton: limits, decoding, one `encode_batch` for all requests, packing."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

PAD_ID = 0
# A megabyte costs a second and up to 430 MB to encode, and most of its tokens are thrown away. So a long text
# is encoded from its first (or last) part, this many characters for each token wanted, and from a longer one
# if that is too little.
CHARACTERS_PER_TOKEN = 8
GROWTH = 4
# A cut spoils at most the last word (100 tokens at most: longer words are one unknown token) and a special
# token.
SPOILED_TOKENS = 256


class TextError(ValueError):
    """A request that is refused. The message is for the client and holds nothing of the text."""


END, HEAD_TAIL = "end", "head_tail"
# The model of a version without windows.json reads so many tokens, and no second window.
ONE_WINDOW = {"positions": 512, "max_tokens": 512}


@dataclass(frozen=True)
class Limits:
    """What is kept of a text; tokens are counted with [CLS] and [SEP].

    max_tokens: what lies beyond is cut off. max_text_bytes: of UTF-8; longer texts are refused.
    truncation: "end" keeps the first `max_tokens`; "head_tail" keeps one window, a quarter of it from the
    text's beginning, the rest from its end (Sun et al. 2019, arXiv:1905.05583).
    positions: tokens of a window of the model.
    """

    max_tokens: int = 4096
    max_text_bytes: int = 1 << 20
    truncation: str = END
    positions: int = 512

    @property
    def kept(self) -> int:
        """Tokens that are left of a text that is cut."""
        return min(self.max_tokens, self.positions) if self.truncation == HEAD_TAIL else self.max_tokens

    def windows(self, tokens: int) -> int:
        """Windows in which the model reads so many tokens."""
        return max(1, -(-(tokens - 2) // (self.positions - 2)))

    def of_request(self, parameters: Mapping[str, object]) -> "Limits":
        """The same with a request's own `max_tokens` (this one at most) and `truncation`.

        Raises TextError for a value that makes no sense.
        """
        tokens = parameters.get("max_tokens", self.max_tokens)
        if isinstance(tokens, bool) or not isinstance(tokens, int) or not 3 <= tokens <= self.max_tokens:
            raise TextError(f"parameter max_tokens must be a whole number from 3 to {self.max_tokens}")
        truncation = parameters.get("truncation", self.truncation)
        if truncation not in (END, HEAD_TAIL):
            raise TextError(f"parameter truncation must be {END} or {HEAD_TAIL}")
        return replace(self, max_tokens=tokens, truncation=str(truncation))


def load_limits(folder: Path, parameters: Mapping[str, str]) -> Limits:
    """Limits of a version folder's model, within those that the configuration's parameters set.

    Raises ValueError for a parameter that makes no sense.
    """
    path = folder / "windows.json"
    model = json.loads(path.read_text(encoding="utf-8")) if path.exists() else ONE_WINDOW
    limits = Limits(
        max_tokens=min(int(parameters["max_tokens"]), model["max_tokens"]),
        max_text_bytes=int(parameters["max_text_bytes"]),
        positions=model["positions"],
    )
    return limits.of_request({"truncation": parameters.get("truncation", END)})


@dataclass(frozen=True)
class Row:
    """Ids of a text as the model reads them, whether some were left out, and how many windows they make."""

    ids: list[int]
    truncated: bool
    windows: int


@dataclass(frozen=True)
class Tokens:
    """Answer to one request. `input_ids`: int64 [rows, longest row], rows padded with 0; `num_tokens`: int32
    [rows, 1], what the model reads, special tokens included; `truncated`: bool [rows, 1]; `num_windows`:
    int32 [rows, 1]."""

    input_ids: np.ndarray
    num_tokens: np.ndarray
    truncated: np.ndarray
    num_windows: np.ndarray


def load_tokenizer(path: Path) -> Tokenizer:
    """Read tokenizer.json; its own truncation and padding are switched off, because both are done here."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def tokenize(
    requests: Sequence[np.ndarray], tokenizer: Tokenizer, limits: Sequence[Limits | TextError]
) -> list[Tokens | TextError]:
    """Answer every request of a batch; `requests` are object arrays of bytes, [rows, 1].

    `limits`: of each request, or why it is refused. A refused request costs only itself: its place in the
    answer holds the error.
    """
    decoded = [_decode_or_error(texts, own) for texts, own in zip(requests, limits, strict=True)]
    answers: dict[int, Tokens | TextError] = {}
    groups: dict[Limits, list[int]] = {}
    for number, (texts, own) in enumerate(zip(decoded, limits, strict=True)):
        if isinstance(texts, TextError) or isinstance(own, TextError):
            answers[number] = texts if isinstance(texts, TextError) else own  # type: ignore[assignment]
        else:
            groups.setdefault(own, []).append(number)
    for own, numbers in groups.items():
        rows = iter(encode([text for number in numbers for text in decoded[number]], tokenizer, own))
        answers |= {number: _pack([next(rows) for _ in decoded[number]]) for number in numbers}
    return [answers[number] for number in range(len(requests))]


def _decode_or_error(texts: np.ndarray, limits: Limits | TextError) -> list[str] | TextError:
    if isinstance(limits, TextError):
        return limits
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


def encode(texts: Sequence[str], tokenizer: Tokenizer, limits: Limits) -> list[Row]:
    """What the model reads of each text."""
    kept = limits.kept
    begins = encode_part(texts, tokenizer, kept, lambda text, size: text[:size])
    cut = [number for number, ids in enumerate(begins) if len(ids) > kept]
    rows = {number: [*begins[number][: kept - 1], begins[number][-1]] for number in cut}
    if limits.truncation == HEAD_TAIL and cut:
        head, tail = kept // 4, kept - kept // 4 - 2
        ends = encode_part(
            [texts[number] for number in cut], tokenizer, tail, lambda text, size: text[-size:]
        )
        for number, ids in zip(cut, ends, strict=True):
            rows[number] = [*begins[number][: 1 + head], *ids[-1 - tail :]]
    final = [rows.get(number, ids) for number, ids in enumerate(begins)]
    return [Row(ids, number in rows, limits.windows(len(ids))) for number, ids in enumerate(final)]


def encode_part(
    texts: Sequence[str], tokenizer: Tokenizer, wanted: int, part: Callable[[str, int], str]
) -> list[list[int]]:
    """Ids of each text, or of `part(text, characters)` where that is enough for `wanted` tokens and for those
    that the cut may have spoiled."""
    characters = CHARACTERS_PER_TOKEN * (wanted + SPOILED_TOKENS)
    if not cuts_are_harmless(tokenizer):
        characters = max(map(len, texts), default=0)
    encodings = tokenizer.encode_batch_fast([part(text, characters) for text in texts])
    while short := [
        row
        for row, encoding in enumerate(encodings)
        if len(texts[row]) > characters and len(encoding) < wanted + SPOILED_TOKENS
    ]:
        characters *= GROWTH
        again = tokenizer.encode_batch_fast([part(texts[row], characters) for row in short])
        for row, encoding in zip(short, again, strict=True):
            encodings[row] = encoding
    return [encoding.ids for encoding in encodings]


def cuts_are_harmless(tokenizer: Tokenizer) -> bool:
    """Whether a text's first tokens depend on its beginning alone, and its last ones on its end: BERT looks
    at one word at a time."""
    return (
        isinstance(tokenizer.model, WordPiece)
        and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
        and isinstance(tokenizer.normalizer, BertNormalizer)
    )


def _pack(rows: Sequence[Row]) -> Tokens:
    lengths = [len(row.ids) for row in rows]
    input_ids = np.full((len(rows), max(lengths, default=0)), PAD_ID, np.int64)
    for line, row in zip(input_ids, rows, strict=True):
        line[: len(row.ids)] = row.ids
    return Tokens(
        input_ids,
        np.array(lengths, np.int32).reshape(-1, 1),
        np.array([[row.truncated] for row in rows], np.bool_).reshape(-1, 1),
        np.array([row.windows for row in rows], np.int32).reshape(-1, 1),
    )
