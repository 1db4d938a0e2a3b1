"""Refuses a tokenizer.json that could cost too much: it runs on every text that anybody sends.

The file is a program: a regular expression may backtrack for ever, a replacement may turn each letter into a
megabyte, a template may add a million tokens to every text. So only the parts of BERT's tokenizers are
accepted, with numbers as large as theirs.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from export.checkpoint.untrusted import MAX_NUMBER, MAX_TOKENIZER_BYTES, read_json
from export.errors import CheckpointError

# None of these has a regular expression or a text of its own: their cost grows only with the text's length.
_NORMALIZERS = {
    "BertNormalizer",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "StripAccents",
    "Strip",
    "Sequence",
}
_PRE_TOKENIZERS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits", "Sequence"}
_POST_PROCESSORS = {"TemplateProcessing", "BertProcessing", "Sequence"}
_PARTS = {"normalizer": _NORMALIZERS, "pre_tokenizer": _PRE_TOKENIZERS, "post_processor": _POST_PROCESSORS}
# WordPiece tries all ends of a word, so a word costs the square of its length; BERT's limit is 100.
MAX_WORD_CHARACTERS = 200
MAX_PREFIX_CHARACTERS = 16
# [CLS] text [SEP] is three.
MAX_TEMPLATE_PIECES = 8
MAX_PARTS = 16
MAX_PADDING = 4096


def check_tokenizer_file(path: Path) -> None:
    """Refuse a tokenizer.json that is not a WordPiece tokenizer of BERT's parts and sizes.

    Raises:
        CheckpointError: the message names the part.
    """
    tokenizer = read_json(path, MAX_TOKENIZER_BYTES)
    for problem in _problems(tokenizer):
        raise CheckpointError(
            f"{path}: {problem}; use the tokenizer.json of google/mobilebert-uncased's kind"
        )
    try:
        loaded = Tokenizer.from_file(str(path))
        loaded.no_padding()
        loaded.encode("A text that any tokenizer can split, 1234.")
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Rust is no Exception
        raise CheckpointError(f"{path} cannot be read ({error}); save or download it again") from error


def _problems(tokenizer: dict[str, Any]) -> Iterator[str]:
    """What is wrong with it, one sentence each, the structure first."""
    yield from _model_problems(tokenizer.get("model"))
    for name, allowed in _PARTS.items():
        yield from _part_problems(name, tokenizer.get(name), allowed)
    if any(number > MAX_PADDING for number in _numbers(tokenizer.get("padding"))):
        yield f"padding makes every text longer than {MAX_PADDING:,} tokens"


def _model_problems(model: Any) -> Iterator[str]:
    if not isinstance(model, dict) or model.get("type", "WordPiece") != "WordPiece":
        yield "the model is not WordPiece"
        return
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or not all(_is_id(number) for number in vocabulary.values()):
        yield "the vocabulary does not map words to numbers"
    elif model.get("unk_token") not in vocabulary:
        yield "unk_token is not in the vocabulary, so an unknown word would fail"
    longest = model.get("max_input_chars_per_word", 100)
    if not isinstance(longest, int) or not 1 <= longest <= MAX_WORD_CHARACTERS:
        yield f"max_input_chars_per_word must be 1 to {MAX_WORD_CHARACTERS}: a longer word costs its square"
    if len(str(model.get("continuing_subword_prefix", "##"))) > MAX_PREFIX_CHARACTERS:
        yield f"continuing_subword_prefix has more than {MAX_PREFIX_CHARACTERS} characters"


def _part_problems(name: str, part: Any, allowed: set[str]) -> Iterator[str]:
    parts = list(_flatten(part))
    if len(parts) > MAX_PARTS:
        yield f"{name} has more than {MAX_PARTS} parts"
    for each in parts:
        kind = each.get("type") if isinstance(each, dict) else each
        if kind not in allowed:
            yield f"{name} holds {str(kind)[:40]!a}, which is none of {', '.join(sorted(allowed))}"
        elif kind == "TemplateProcessing":
            yield from _template_problems(each)


def _flatten(part: Any) -> Iterator[Any]:
    """A part, and those of a sequence within it, whatever the depth."""
    waiting = [] if part is None else [part]
    while waiting:
        each = waiting.pop()
        yield each
        if isinstance(each, dict) and each.get("type") == "Sequence":
            inner = [each.get(key) for key in ("normalizers", "pretokenizers", "processors")]
            waiting += [one for many in inner if isinstance(many, list) for one in many]


def _template_problems(part: dict[str, Any]) -> Iterator[str]:
    template = part.get("single")
    pieces = template if isinstance(template, list) else []
    tokens = part.get("special_tokens")
    ids = (
        [each.get("ids") for each in tokens.values() if isinstance(each, dict)]
        if isinstance(tokens, dict)
        else []
    )
    if len(pieces) > MAX_TEMPLATE_PIECES or any(
        isinstance(each, list) and len(each) > MAX_TEMPLATE_PIECES for each in ids
    ):
        yield f"the template adds more than {MAX_TEMPLATE_PIECES} tokens to every text"
    if sum(isinstance(piece, dict) and "Sequence" in piece for piece in pieces) != 1:
        yield "the template does not hold the text exactly once"


def _numbers(value: Any) -> Iterator[int]:
    """All integers in a JSON object of any depth."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, int):
            yield each
        elif isinstance(each, (dict, list)):
            waiting += each.values() if isinstance(each, dict) else each


def _is_id(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 <= number < MAX_NUMBER
