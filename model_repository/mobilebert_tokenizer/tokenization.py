"""Text to token ids, without Triton: limits, decoding, one call of the tokenizer for a batch, packing."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
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
# A cut can change only the last word (100 tokens at most: longer words are one unknown token) and a special
# token.
SPOILED_TOKENS = 256
CHUNK = re.compile(r"[^ \t\n\r]+")
# A text of printable ASCII and white space needs no normalization but lower case.
PLAIN_TEXT = re.compile(r"[\t\n\r -~]*")
PLAIN_WORD = re.compile(r"[A-Za-z0-9]+|[!-/:-@\[-`{-~]")
# How many words are remembered, and the longest (characters): 10 MB at most.
REMEMBERED_WORDS, LONGEST_REMEMBERED = 50_000, 32


class TextError(ValueError):
    """A request that is refused. The message is for the client and holds nothing of the text."""


END, HEAD_TAIL = "end", "head_tail"
WINDOWS_FILE = "windows.json"
# The model of a version without windows.json reads so many tokens, and no second window.
ONE_WINDOW = {"positions": 512, "max_tokens": 512}


@dataclass(frozen=True)
class TextLimits:
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

    def of_request(self, parameters: Mapping[str, object]) -> "TextLimits":
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


def load_limits(folder: Path, parameters: Mapping[str, str]) -> TextLimits:
    """Limits of a version folder's model, within those that the configuration's parameters set.

    Raises ValueError for a parameter that makes no sense.
    """
    path = folder / WINDOWS_FILE
    model = json.loads(path.read_text(encoding="utf-8")) if path.exists() else ONE_WINDOW
    limits = TextLimits(
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


class _Words(dict[str, tuple[int, ...]]):
    """Ids of words; each word is looked up once."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._tokenizer = tokenizer

    def __missing__(self, word: str) -> tuple[int, ...]:
        ids = tuple(self._tokenizer.encode(word, add_special_tokens=False).ids)
        if len(word) <= LONGEST_REMEMBERED:
            if len(self) >= REMEMBERED_WORDS:
                self.clear()
            self[word] = ids
        return ids


class TextTokenizer:
    """The ids of the tokenizers library, for BERT's kind of tokenizer ten times sooner.

    BERT cuts a text at white space and punctuation and looks at each word by itself, so the ids of a word are
    asked for once and remembered. The library gets whole texts of other tokenizers, and those in which a
    special token is typed.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        added = tokenizer.get_added_tokens_decoder().values()
        normalizer = tokenizer.normalizer
        self.is_bert = (
            isinstance(tokenizer.model, WordPiece)
            and isinstance(tokenizer.pre_tokenizer, BertPreTokenizer)
            and isinstance(normalizer, BertNormalizer)
        )
        self._by_word = self.is_bert and not any(each.normalized for each in added)
        self._lowercase = self.is_bert and normalizer.lowercase
        self._special = re.compile("|".join(re.escape(each.content) for each in added) or r"(?!)")
        self._tokenizer, self._words = tokenizer, _Words(tokenizer)
        one = tokenizer.encode("a")
        first, last = one.special_tokens_mask.index(0), one.special_tokens_mask[::-1].index(0)
        self._begin, self._end = one.ids[:first], one.ids[len(one) - last :]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, special tokens included."""
        whole = [
            number for number, text in enumerate(texts) if not self._by_word or self._special.search(text)
        ]
        encodings = self._tokenizer.encode_batch_fast([texts[number] for number in whole]) if whole else []
        found = {number: encoding.ids for number, encoding in zip(whole, encodings, strict=True)}
        return [found[number] if number in found else self._encode(text) for number, text in enumerate(texts)]

    def _encode(self, text: str) -> list[int]:
        ids = chain.from_iterable(map(self._words.__getitem__, self._cut(text)))
        return [*self._begin, *ids, *self._end]

    def _cut(self, text: str) -> Iterable[str]:
        """Words; what is not plain ASCII between two white spaces is left for the library to cut."""
        plain = self._cut_plain(text)
        if plain is not None:
            return plain
        cut = ((chunk, self._cut_plain(chunk)) for chunk in CHUNK.findall(text))
        return chain.from_iterable((chunk,) if words is None else words for chunk, words in cut)

    def _cut_plain(self, text: str) -> list[str] | None:
        if PLAIN_TEXT.fullmatch(text) is None:
            return None
        return PLAIN_WORD.findall(text.lower() if self._lowercase else text)


def load_tokenizer(path: Path) -> TextTokenizer:
    """Read tokenizer.json; its own truncation and padding are switched off, because both are done here."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TextTokenizer(tokenizer)


def tokenize(
    requests: Sequence[np.ndarray], tokenizer: TextTokenizer, limits: Sequence[TextLimits | TextError]
) -> list[Tokens | TextError]:
    """Answer every request of a batch; `requests` are object arrays of bytes, [rows, 1].

    `limits`: of each request, or why it is refused. A refused request costs only itself: its place in the
    answer holds the error.
    """
    decoded = [_decode_or_error(texts, own) for texts, own in zip(requests, limits, strict=True)]
    answers: dict[int, Tokens | TextError] = {}
    groups: dict[TextLimits, dict[int, list[str]]] = {}
    for number, (texts, own) in enumerate(zip(decoded, limits, strict=True)):
        if isinstance(texts, TextError) or isinstance(own, TextError):
            answers[number] = texts if isinstance(texts, TextError) else own  # type: ignore[assignment]
        else:
            groups.setdefault(own, {})[number] = texts
    for own, members in groups.items():
        rows = iter(encode([text for texts in members.values() for text in texts], tokenizer, own))
        answers |= {number: _pack([next(rows) for _ in texts]) for number, texts in members.items()}
    return [answers[number] for number in range(len(requests))]


def _decode_or_error(texts: np.ndarray, limits: TextLimits | TextError) -> list[str] | TextError:
    if isinstance(limits, TextError):
        return limits
    try:
        return decode(texts, limits)
    except TextError as error:
        return error


def decode(texts: np.ndarray, limits: TextLimits) -> list[str]:
    """Strings of a request.

    Raises TextError for a shape other than [rows, 1], a long text or invalid UTF-8.
    """
    if texts.ndim != 2 or texts.shape[1] != 1:
        raise TextError(f"text must have shape [rows, 1], not {list(texts.shape)}")
    return [_decode_row(row, text, limits) for row, text in enumerate(texts[:, 0])]


def _decode_row(row: int, text: bytes, limits: TextLimits) -> str:
    if len(text) > limits.max_text_bytes:
        raise TextError(f"text {row} has {len(text)} bytes, more than the limit of {limits.max_text_bytes}")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"text {row} is not valid UTF-8 at byte {error.start}") from None


def encode(texts: Sequence[str], tokenizer: TextTokenizer, limits: TextLimits) -> list[Row]:
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
    texts: Sequence[str], tokenizer: TextTokenizer, wanted: int, part: Callable[[str, int], str]
) -> list[list[int]]:
    """Ids of each text, or of `part(text, characters)` where that is enough for `wanted` tokens and for those
    that the cut may have spoiled."""
    characters = CHARACTERS_PER_TOKEN * (wanted + SPOILED_TOKENS)
    if not tokenizer.is_bert:  # a cut could change tokens far from it
        characters = max(map(len, texts), default=0)
    ids = tokenizer.encode_batch([part(text, characters) for text in texts])
    while short := [
        row
        for row, found in enumerate(ids)
        if len(texts[row]) > characters and len(found) < wanted + SPOILED_TOKENS
    ]:
        characters *= GROWTH
        again = tokenizer.encode_batch([part(texts[row], characters) for row in short])
        for row, found in zip(short, again, strict=True):
            ids[row] = found
    return ids


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
