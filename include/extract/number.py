"""Convert numbers as vendors write them to exact decimals of the declared type; refuse ambiguous ones.

A number that is a text (a cell of a report, a JSON string) is read in US notation: commas only between groups of three
digits, at most one decimal point, after them; an optional `$`; a leading minus or parentheses; blanks between these. A percent
sign, exponent, plus or trailing minus is refused: no column declares them. If fewer than three decimals are declared (money),
a text with exactly three is refused, because its point may separate thousands (`129.900`); any other surplus decimals are refused
as well. In a quantity or price, three decimals are read as decimals.

A JSON number has one notation. Its surplus decimals are rounded half even if the column is `rounded`. In any column, and also in
texts, they are rounded if they are noise of binary floating point: at most a part in 10^12 of the value
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
"""Maximum decimals of a number that is read together with its page."""
WIRE = pa.decimal256(75, DECIMALS)
"""Type in which a page's numbers are read, before conversion to their declared type; a difference of two of them still fits."""

_NOISE = 1e-12
_DIGITS = r"(?:(?:[1-9]\d{0,2}(?:,\d{3}){1,11}|\d{1,36})(?:\.\d{1,38})?|\.\d{1,38})"
_US = rf"^(?:-? *\$? *{_DIGITS}|\$ *- *{_DIGITS}|\$? *\( *{_DIGITS} *\)|\( *\$ *{_DIGITS} *\))$"
_THREE_DECIMALS = r"\.\d{3}(?:\D|$)"
_INTEGER = r"^-?(?:[1-9]\d{0,2}(?:,\d{3}){1,6}|\d{1,19})$"
_SHAPE_LENGTH = 24
_SHOWN = frozenset(string.punctuation + " ")


def read_texts(texts: pa.Array, target: pa.DataType, *, is_rounded: bool = False) -> pa.Array:
    """Parse texts to decimals of `target`; null if the text is null or refused."""
    trimmed = pc.utf8_trim_whitespace(texts)
    is_known = pc.match_substring_regex(trimmed, _US)
    if target.scale < 3:
        is_known = pc.and_(is_known, pc.invert(pc.match_substring_regex(trimmed, _THREE_DECIMALS)))
    bare = pc.replace_substring_regex(pc.if_else(is_known, trimmed, None), r"[-$,() ]", "")
    signed = pc.if_else(pc.match_substring_regex(trimmed, "[-(]"), pc.binary_join_element_wise("-", bare, ""), bare)
    return convert(signed.cast(WIRE), target, is_rounded=is_rounded and target.scale >= 3)


def read_integers(texts: pa.Array) -> pa.Array:
    """Remove the commas between groups of three digits from integers; leave every other text as it is."""
    trimmed = pc.utf8_trim_whitespace(texts)
    bare = pc.replace_substring(trimmed, ",", "")
    return pc.if_else(pc.match_substring_regex(trimmed, _INTEGER), bare, texts)


def convert(values: pa.Array, target: pa.DataType, *, is_rounded: bool) -> pa.Array:
    """Convert numbers of the type `WIRE` to `target`; null if the value is null, too large, or has real surplus decimals.

    Every result is compared with its input: Arrow 26 divides decimals wrongly if a 32-bit digit of the quotient is
    full (42949672.95999999 to a wrong dollar), and casts without a range check.
    """
    limit = pa.scalar(Decimal(1).scaleb(target.precision - target.scale), WIRE)
    values = pc.if_else(pc.less(pc.abs(values), limit), values, None)
    cut = values.cast(target, safe=False)
    is_exact = pc.equal(cut.cast(WIRE), values)
    if pc.all(is_exact).as_py() is not False:
        return cut
    is_surplus = pc.fill_null(pc.invert(is_exact), False)
    return pc.replace_with_mask(cut, is_surplus, _drop_surplus(values.filter(is_surplus), target, is_rounded))


def _drop_surplus(values: pa.Array, target: pa.DataType, is_rounded: bool) -> pa.Array:
    near = pc.round(values, target.scale, round_mode="half_to_even").cast(target, safe=False)
    off = _measure_distance(near, values)
    half = pa.scalar(Decimal(5).scaleb(-target.scale - 1), off.type)
    limit = pa.scalar(Decimal(1).scaleb(target.precision - target.scale), WIRE)
    is_open = pc.or_(pc.greater_equal(off, half), pc.equal(pc.abs(near.cast(WIRE)), limit))
    if pc.any(is_open).as_py():
        exact = [nearest(value, target) for value in values.filter(is_open).to_pylist()]
        near = pc.replace_with_mask(near, is_open, pa.array(exact, target))
        off = _measure_distance(near, values)
    if is_rounded:
        return near
    is_noise = pc.less_equal(off.cast(pa.float64()), pc.multiply(pc.abs(values).cast(pa.float64()), _NOISE))
    return pc.if_else(is_noise, near, None)


def _measure_distance(near: pa.Array, values: pa.Array) -> pa.Array:
    return pc.abs(pc.subtract(near.cast(WIRE), values))


def nearest(value: Decimal, target: pa.DataType) -> Decimal | None:
    """Round a finite number half even to the scale of `target`; None if it is too large for `target`."""
    if value.adjusted() > target.precision - target.scale:
        return None
    with localcontext() as context:
        context.prec = 100
        near = value.quantize(Decimal(1).scaleb(-target.scale), ROUND_HALF_EVEN)
        return near if not near or near.adjusted() < target.precision - target.scale else None


def is_long(value: object) -> TypeGuard[Decimal]:
    """Return whether a number has more decimals than `DECIMALS`."""
    return isinstance(value, Decimal) and value.is_finite() and int(value.as_tuple().exponent) < -DECIMALS


def fault(value: object, type_word: str, target: pa.DataType) -> str:
    """Describe the fault of a refused value without the value: `not decimal(20,2): 9,99`.

    Args:
        value: The value as written: a text, or another JSON value.
        type_word: The declared type.
        target: The declared type as an Arrow decimal.
    """
    number = _parse_number(value)
    if number is not None and number.is_finite() and nearest(number, target) is not None:
        return f"{-int(number.as_tuple().exponent)} decimals, {target.scale} declared"
    return f"not {type_word}: {shape(value)}" if isinstance(value, str) else f"not {type_word}"


def _parse_number(value: object) -> Decimal | None:
    if isinstance(value, str):
        [read] = read_texts(pa.array([value]), pa.decimal128(38, 19)).to_pylist()
        return None if read is None else Decimal(value.translate(_BARE))
    return value if isinstance(value, Decimal) else None


_BARE = str.maketrans("", "", "-$,() \t")


def shape(text: str) -> str:
    """Mask a text to its shape: digits become 9, letters a or A; limited in length."""
    if not text.strip():
        return "blank"
    return "".join(map(_mask_character, text[:_SHAPE_LENGTH])) + ("..." if len(text) > _SHAPE_LENGTH else "")


def _mask_character(character: str) -> str:
    if character.isnumeric():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character in _SHOWN or unicodedata.category(character) == "Sc" else "?"


def texts_of(values: Sequence[object]) -> pa.Array:
    """Return the strings among values of one JSON field, null elsewhere."""
    return pa.array([value if isinstance(value, str) else None for value in values], pa.string())
