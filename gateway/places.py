"""pydantic's errors in a person's words: `texts[3]: must be a string, not a number`."""

from collections.abc import Sequence
from typing import Any

KINDS = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number",
         float: "a number", type(None): "null"}  # fmt: skip
EXPECTED = {
    "string_type": "must be a string",
    "list_type": "must be a list",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "model_type": "must be an object",
    "dict_type": "must be an object",
}


def place_of(location: Sequence[str | int]) -> str:
    """`texts[3]` of ("texts", 3)."""
    place = ""
    for part in location:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    return place or "the body"


def describe_errors(errors: Sequence[Any]) -> tuple[str, list[dict[str, str]]]:
    """One sentence about the first errors, and all of them (20 at most) as {place, message}."""
    described = [{"place": place_of(each["loc"]), "message": _message(each)} for each in errors[:20]]
    sentence = "; ".join(f"{each['place']} {each['message']}" for each in described[:3])
    sentence = sentence[:1].upper() + sentence[1:] if sentence.startswith("the body") else sentence
    return f"{sentence}{' ...' if len(errors) > 3 else ''}.", described


def _message(error: Any) -> str:
    kind, value, context = error["type"], error.get("input"), error.get("ctx") or {}
    if kind in EXPECTED:
        return f"{EXPECTED[kind]}, not {KINDS.get(type(value), 'that')}"
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not a field that this address knows"
    if kind == "value_error":
        return str(context.get("error", "is wrong"))
    message = str(error["msg"])
    return message.replace("Input should be", "must be").replace("Value should", "must")
