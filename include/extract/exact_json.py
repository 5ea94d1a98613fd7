"""Read and write JSON without changing the notation of numbers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson


def load(text: bytes | str) -> Any:
    """Parse JSON with integers, exact decimals, and `NaN` as text.

    Raises:
        ValueError, RecursionError: The text is not JSON, or nested too deep.
    """
    return json.loads(text, parse_float=Decimal, parse_int=parse_integer, parse_constant=str)


def dump(value: object) -> bytes:
    """Serialize a value to JSON, decimals as they were written; replace an unpaired surrogate by `?`.

    Raises:
        TypeError: The value is nested too deep.
    """
    try:
        return orjson.dumps(value, default=_serialize)
    except TypeError:
        return orjson.dumps(_replace_surrogates(value), default=_serialize)


def parse_integer(digits: str) -> int | Decimal:
    """Parse an integer; return one that may exceed 64 bits as a decimal, which can be serialized."""
    return int(digits) if len(digits) < 19 else Decimal(digits)


def split_array(body: bytes) -> tuple[list[str], list[object]]:
    """Split a JSON array into the texts and the values of its elements, numbers exact; NaN is a text.

    Raises:
        ValueError, IndexError, RecursionError: The body is not a JSON array.
    """
    decoder = json.JSONDecoder(parse_float=Decimal, parse_int=parse_integer, parse_constant=str)
    texts: list[str] = []
    objects: list[object] = []
    text = body.decode("utf-8").strip()
    at = _skip(text, 1)
    while text[at] != "]":
        value, end = decoder.raw_decode(text, at)
        texts.append(text[at:end])
        objects.append(value)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    if at + 1 < len(text):
        raise ValueError("something follows the array")
    return texts, objects


def _replace_surrogates(value: object) -> object:
    if isinstance(value, dict):
        return {_replace_surrogates(name): _replace_surrogates(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_replace_surrogates(each) for each in value]
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _serialize(value: object) -> object:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value).encode()) if value.is_finite() else str(value)
    return str(value)


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
