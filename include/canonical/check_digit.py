"""Validate the check digits of CUSIPs and ISINs, one column at a time.

Vendors also put their own symbols and ids into a CUSIP column (cash, private assets). So only values of these forms can fail; every
other value passes:

ISIN                two letters, nine letters or digits, a digit. Fails if the check digit is wrong.
CUSIP               nine characters: three digits, or a letter and three digits (CINS), then letters, digits or `*@#`, and a digit.
                    Fails if the check digit is wrong.
CUSIP without its   eight characters that start with two digits and end with a digit, or seven digits that are a valid CUSIP
leading zeros       after two zeros are prepended. Always fails.

A masked value (`XXXXX3100`, `*****3100`) is not checked and passes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_ISIN = r"^[A-Z]{2}[A-Z0-9]{9}[0-9]$"
_CUSIP = r"^([0-9]{3}|[A-Z][0-9]{3})[0-9A-Z*@#]{4,5}[0-9]$"
_LOST_ZERO = r"^[0-9]{2}[0-9A-Z*@#]{5}[0-9]$"
_LOST_ZEROS = r"^[0-9]{7}$"
_MASKED = r"X{3,}|[*]{3,}"

_ORDER = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*@#"
_VALUES = np.zeros(256, np.int16)
_VALUES[np.frombuffer(_ORDER.encode(), np.uint8)] = np.arange(len(_ORDER))

Bytes = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def has_check_digit(values: pa.Array) -> pa.Array:
    """Return whether each value passes the check: false for a CUSIP or ISIN with a wrong check digit or without its leading zeros.

    Args:
        values: Strings; case and surrounding blanks are ignored.

    Returns:
        Booleans of the same length, null where the value is null.
    """
    encoded = values.dictionary_encode()
    return pc.take(_check(encoded.dictionary), encoded.indices)


def _check(texts: pa.Array) -> pa.Array:
    plain = pc.utf8_upper(pc.utf8_trim_whitespace(texts))
    length = pc.utf8_length(plain).to_numpy(zero_copy_only=False)
    is_right = np.ones(len(texts), np.bool_)
    for size, pattern, zeros, passes in _FORMS:
        places = np.flatnonzero(length == size)
        sized = plain.take(pa.array(places))
        is_number = pc.and_not(pc.match_substring_regex(sized, pattern), pc.match_substring_regex(sized, _MASKED))
        places = places[is_number.to_numpy(zero_copy_only=False)]
        if len(places):
            padded = pc.binary_join_element_wise(zeros, sized.filter(is_number), "")
            is_right[places] = passes(_to_bytes(padded, size + len(zeros)))
    return pa.array(is_right)


def _to_bytes(texts: pa.Array, size: int) -> Bytes:
    """Convert ASCII texts of one length to a matrix of bytes."""
    fixed = texts.cast(pa.binary()).cast(pa.binary(size))
    return np.frombuffer(fixed.buffers()[1], np.uint8).reshape(-1, size)[fixed.offset : fixed.offset + len(fixed)]


def _passes_cusip(rows: Bytes) -> Flags:
    """Return whether the check digit of each CUSIP is right: double every second value, add all digits, take modulus 10."""
    values = _VALUES[rows]
    values[:, 1:8:2] *= 2
    added = (values[:, :8] // 10 + values[:, :8] % 10).sum(axis=1)
    return (10 - added % 10) % 10 == values[:, 8]  # type: ignore[no-any-return]


def _passes_isin(rows: Bytes) -> Flags:
    """Return whether each ISIN passes the Luhn check: a letter counts as two digits (A is 10); double every second one from the right."""
    values = _VALUES[rows]
    total = np.zeros(len(rows), np.int16)
    is_doubled = np.zeros(len(rows), np.bool_)
    for place in range(values.shape[1] - 1, -1, -1):
        ones, tens = values[:, place] % 10, values[:, place] // 10
        is_letter = tens > 0
        total += np.where(is_doubled, _double(ones), ones)
        total += np.where(is_letter, np.where(is_doubled, tens, _double(tens)), 0)
        is_doubled ^= ~is_letter
    return total % 10 == 0  # type: ignore[no-any-return]


def _double(digits: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    doubled = digits * 2
    return doubled // 10 + doubled % 10


_FORMS = (
    (12, _ISIN, "", _passes_isin),
    (9, _CUSIP, "", _passes_cusip),
    (8, _LOST_ZERO, "", lambda rows: np.zeros(len(rows), np.bool_)),
    (7, _LOST_ZEROS, "00", lambda rows: ~_passes_cusip(rows)),
)
"""One form per row: length of the text, its pattern, zeros to prepend, and the function that checks the bytes."""
