"""Read and write JSON without changing the notation of numbers."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson


def load(text: bytes | str) -> Any:
    """Parse JSON. Numbers stay exact.

    Integers become `int`. Very large integers, and numbers with a fraction or an exponent, become `Decimal`. `NaN`, `Infinity` and
    numbers whose exponent no decimal can have become strings.

    Raises:
        ValueError: The text is not JSON.
        RecursionError: The JSON is nested too deep.
    """
    return json.loads(text, parse_float=_parse_decimal, parse_int=parse_integer, parse_constant=str)


def dump(value: object) -> bytes:
    """Serialize a value to JSON.

    Decimals keep their digits. Decimals that are NaN or infinite, dates, and values of other types become strings. An unpaired
    surrogate in a text becomes `?`.

    Raises:
        TypeError: The value is nested too deep.
    """
    try:
        return orjson.dumps(value, default=_serialize)
    except TypeError:
        return orjson.dumps(_replace_surrogates(value), default=_serialize)


def parse_integer(digits: str) -> int | Decimal:
    """Parse an integer. One that may exceed 64 bits becomes a decimal, because `orjson` can't serialize it as an integer."""
    return int(digits) if len(digits) < 19 else Decimal(digits)


def split_array(body: bytes) -> tuple[list[str], list[object]]:
    """Split a JSON array into its elements; return the JSON text of each, and the value of each as `load` parses it.

    Raises:
        ValueError, IndexError, RecursionError: The body is not a complete JSON array.
    """
    decoder = json.JSONDecoder(parse_float=_parse_decimal, parse_int=parse_integer, parse_constant=str)
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


def _parse_decimal(number: str) -> Decimal | str:
    try:
        return Decimal(number)
    except InvalidOperation:  # the exponent has over 18 digits
        return number


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
