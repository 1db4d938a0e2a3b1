"""Valid values made wrong: a seed gives the same ones for ever, so that a failure can be run again."""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

NUMBERS = (
    -1,
    0,
    1,
    2,
    65,
    255,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    (1 << 63) - 1,
    1 << 63,
    1 << 64,
    -(1 << 63),
    10**40,
)
STRINGS = (
    "",
    "text",
    "\x00",
    "%s%n%x",
    "../../etc/passwd",
    "A" * 5000,
    "\u202e\u0301",
    "BYTES",
    "INT64",
    "FP32",
    "'\"<&>",
    "${jndi:x}",
)
ODD = (None, True, False, 1.5, 1e308, [], {}, [[]], {"a": {}}, [None], "7")


def any_value(generator: random.Random) -> Any:
    """Something of a type that may or may not fit."""
    return generator.choice(generator.choice((NUMBERS, STRINGS, ODD)))


def mutate_json(value: Any, generator: random.Random) -> Any:
    """`value` with one place in it replaced, removed, repeated, renamed or wrapped."""
    places = list(_places(value))
    if not places or generator.random() < 0.1:
        return any_value(generator)
    container, key = generator.choice(places)
    actions: list[Callable[[Any, Any, random.Random], None]] = [_replace, _replace, _remove, _repeat, _wrap]
    actions += [_rename] if isinstance(container, dict) else []
    generator.choice(actions)(container, key, generator)
    return value


def mutate_bytes(data: bytes, generator: random.Random) -> bytes:
    """`data` with some bytes changed, cut, inserted, repeated or moved."""
    changed = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(changed) + 1)
        piece = generator.randbytes(generator.choice((1, 1, 2, 8)))
        kind = generator.randrange(5)
        if kind == 0:
            changed[place : place + len(piece)] = piece
        elif kind == 1:
            del changed[place:]
        elif kind == 2:
            changed[place:place] = piece
        elif kind == 3:
            changed[place:place] = changed[: generator.randrange(200)]
        else:
            changed[place:place] = generator.choice(
                (b"\xff" * 10, b"\x00" * 8, b'"', b"[{", b"}]", b"\\u", b"\xed\xa0\x80")
            )
    return bytes(changed)


def dumps(value: Any) -> bytes:
    """JSON, with NaN and lone surrogates as Python writes them."""
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in `value` with each of its keys or positions."""
    if isinstance(value, (dict, list)):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from _places(inner)


def _replace(container: Any, key: Any, generator: random.Random) -> None:
    container[key] = any_value(generator)


def _remove(container: Any, key: Any, generator: random.Random) -> None:
    del container[key]


def _repeat(container: Any, key: Any, generator: random.Random) -> None:
    container[key] = [container[key]] * generator.choice((2, 3, 100))


def _wrap(container: Any, key: Any, generator: random.Random) -> None:
    for _ in range(generator.choice((1, 2, 50, 150))):
        container[key] = generator.choice(([container[key]], {"a": container[key]}))


def _rename(container: Any, key: Any, generator: random.Random) -> None:
    container[generator.choice(STRINGS)] = container.pop(key)
