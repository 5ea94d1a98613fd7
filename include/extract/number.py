"""Numbers as vendors write them, to exact decimals of the declared type; what could only be guessed is refused.

A number that is a text (a cell of a report, a JSON string) is read in US notation: commas only between groups of three
digits, at most one decimal point, behind them; an optional `$`; a leading minus or parentheses; blanks between these. There is
no percent sign, exponent, plus or trailing minus: no column declares them. Where fewer than three decimals are declared (money),
a text with exactly three is refused, because its point may separate thousands (`129.900`), and so is one with other surplus
decimals. In a quantity or price three decimals are decimals: nothing tells them apart.

A JSON number has one notation. Its surplus decimals are rounded half even where the column says so. In any column, and in texts
too, they are rounded where they are the noise of binary floating point: a part in 10^12 of the value at most
(`101.95020000000001`). Any other surplus is a different value, and is refused.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import TypeGuard

import pyarrow as pa
import pyarrow.compute as pc

DECIMALS = 38
"""The most decimals of a number that is read in one go with its page."""
WIRE = pa.decimal256(75, DECIMALS)
"""The type in which a page's numbers are read, before they are brought to their own; a difference of two of it still fits."""

_NOISE = 1e-12
_DIGITS = r"(?:(?:[1-9]\d{0,2}(?:,\d{3}){1,11}|\d{1,36})(?:\.\d{1,38})?|\.\d{1,38})"
_US = rf"^(?:-? *\$? *{_DIGITS}|\$ *- *{_DIGITS}|\$? *\( *{_DIGITS} *\)|\( *\$ *{_DIGITS} *\))$"
_THREE_DECIMALS = r"\.\d{3}(?:\D|$)"
_INTEGER = r"^-?(?:[1-9]\d{0,2}(?:,\d{3}){1,6}|\d{1,19})$"
_SHAPE_LENGTH = 24
_SHOWN = frozenset(string.punctuation + " ")


def read_texts(texts: pa.Array, target: pa.DataType, *, is_rounded: bool = False) -> pa.Array:
    """Reads texts as decimals of `target`; null where the text is null or refused."""
    trimmed = pc.utf8_trim_whitespace(texts)
    is_known = pc.match_substring_regex(trimmed, _US)
    if target.scale < 3:
        is_known = pc.and_(is_known, pc.invert(pc.match_substring_regex(trimmed, _THREE_DECIMALS)))
    bare = pc.replace_substring_regex(pc.if_else(is_known, trimmed, None), r"[-$,() ]", "")
    signed = pc.if_else(pc.match_substring_regex(trimmed, "[-(]"), pc.binary_join_element_wise("-", bare, ""), bare)
    return settle(signed.cast(WIRE), target, is_rounded=is_rounded and target.scale >= 3)


def read_integers(texts: pa.Array) -> pa.Array:
    """Takes the commas between groups of three digits out of whole numbers; leaves every other text as it is."""
    trimmed = pc.utf8_trim_whitespace(texts)
    bare = pc.replace_substring(trimmed, ",", "")
    return pc.if_else(pc.match_substring_regex(trimmed, _INTEGER), bare, texts)


def settle(values: pa.Array, target: pa.DataType, *, is_rounded: bool) -> pa.Array:
    """Brings numbers of the type `WIRE` to `target`; null where the value is null, too large, or has a genuine surplus.

    Every result is compared with the value it came of: Arrow 26 divides decimals wrongly where a 32-bit digit of the quotient is
    full (42949672.95999999 to a wrong dollar), and casts without a check of the range.
    """
    limit = pa.scalar(Decimal(1).scaleb(target.precision - target.scale), WIRE)
    values = pc.if_else(pc.less(pc.abs(values), limit), values, None)
    cut = values.cast(target, safe=False)
    is_exact = pc.equal(cut.cast(WIRE), values)
    if pc.all(is_exact).as_py() is not False:
        return cut
    is_surplus = pc.fill_null(pc.invert(is_exact), False)
    return pc.replace_with_mask(cut, is_surplus, _without_surplus(values.filter(is_surplus), target, is_rounded))


def _without_surplus(values: pa.Array, target: pa.DataType, is_rounded: bool) -> pa.Array:
    near = pc.round(values, target.scale, round_mode="half_to_even").cast(target, safe=False)
    off = _distance(near, values)
    half = pa.scalar(Decimal(5).scaleb(-target.scale - 1), off.type)
    limit = pa.scalar(Decimal(1).scaleb(target.precision - target.scale), WIRE)
    is_open = pc.or_(pc.greater_equal(off, half), pc.equal(pc.abs(near.cast(WIRE)), limit))
    if pc.any(is_open).as_py():
        exact = [nearest(value, target) for value in values.filter(is_open).to_pylist()]
        near = pc.replace_with_mask(near, is_open, pa.array(exact, target))
        off = _distance(near, values)
    if is_rounded:
        return near
    is_noise = pc.less_equal(off.cast(pa.float64()), pc.multiply(pc.abs(values).cast(pa.float64()), _NOISE))
    return pc.if_else(is_noise, near, None)


def _distance(near: pa.Array, values: pa.Array) -> pa.Array:
    return pc.abs(pc.subtract(near.cast(WIRE), values))


def nearest(value: Decimal, target: pa.DataType) -> Decimal | None:
    """Rounds a finite number half even to the scale of `target`; None where it is too large for it."""
    if value.adjusted() > target.precision - target.scale:
        return None
    with localcontext() as context:
        context.prec = 100
        near = value.quantize(Decimal(1).scaleb(-target.scale), ROUND_HALF_EVEN)
        return near if not near or near.adjusted() < target.precision - target.scale else None


def is_long(value: object) -> TypeGuard[Decimal]:
    """Whether a number has more decimals than are read with a page."""
    return isinstance(value, Decimal) and value.is_finite() and int(value.as_tuple().exponent) < -DECIMALS


def fault(value: object, type_word: str, target: pa.DataType) -> str:
    """Returns what is wrong with a value that was refused, without the value: `not decimal(20,2): 9,99`.

    Args:
        value: As it was written: a text, or what JSON holds instead.
        type_word: The declared type.
        target: The same as a decimal of Arrow.
    """
    number = _number(value)
    if number is not None and number.is_finite() and nearest(number, target) is not None:
        return f"{-int(number.as_tuple().exponent)} decimals, {target.scale} declared"
    return f"not {type_word}: {shape(value)}" if isinstance(value, str) else f"not {type_word}"


def _number(value: object) -> Decimal | None:
    if isinstance(value, str):
        [read] = read_texts(pa.array([value]), pa.decimal128(38, 19)).to_pylist()
        return None if read is None else Decimal(value.translate(_BARE))
    return value if isinstance(value, Decimal) else None


_BARE = str.maketrans("", "", "-$,() \t")


def shape(text: str) -> str:
    """How a text is written, without what it says: digits as 9, letters as a or A; bounded in length."""
    if not text.strip():
        return "blank"
    return "".join(map(_kind, text[:_SHAPE_LENGTH])) + ("..." if len(text) > _SHAPE_LENGTH else "")


def _kind(character: str) -> str:
    if character.isnumeric():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character in _SHOWN or unicodedata.category(character) == "Sc" else "?"


def texts_of(values: Sequence[object]) -> pa.Array:
    """The texts among values of one JSON field, null elsewhere."""
    return pa.array([value if isinstance(value, str) else None for value in values], pa.string())
