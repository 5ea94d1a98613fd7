"""Match the vendors' securities by number: CUSIP or ISIN with a valid check digit.

A symbol alone is not enough, because free symbols are reassigned to other companies. Securities with the same number are one, even if
name or symbol differ: companies are renamed, and vendors follow on different days. Exceptions:

private-use numbers         match only if the symbol (or the name, if there is no symbol) is also the same
different kinds             an option or a bond with the number of a share is a vendor's mistake: nothing is matched, a conflict is recorded
cash                        has no number or a private-use number, and is never matched across vendors

An ISIN of the United States or Canada contains a CUSIP, and is read as that CUSIP.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from include.canonical.check_digit import has_check_digit

SECURITIES = pa.schema(
    {
        "security_id": pa.int64(),
        "vendor": pa.string(),
        "name": pa.string(),
        "ticker": pa.string(),
        "cusip": pa.string(),
        "security_type": pa.string(),
    }
)

_NUMBER = r"^(([0-9]{3}|[A-Z][0-9]{3})[0-9A-Z*@#]{4,5}[0-9]|[A-Z]{2}[A-Z0-9]{9}[0-9])$"
_NUMBER_SIZES = (9, 12)
_WITH_CUSIP = r"^(US|CA)([0-9A-Z]{9})[0-9]$"
# Private use: issuers 99xxxx and xxx99x, and issues from 90 on (internal numbers, options of one issuer).
_PRIVATE = re.compile(r"^(99|.{3}99|.{6}9)")
_PLACEHOLDER = re.compile(r"^(.)\1+$")

# Kinds of securities by the words of `security_type`; a type without one of these words has no kind. The first match counts: an equity or
# ETF option is an option, an option income fund is a fund, and a bond fund or money-market fund is a fund.
_KINDS = (
    ("option", r"(?:option|warrant|\bcalls?\b|\bputs?\b)(?!.*(?:etf|fund|trust))"),
    ("fund or share", r"stock|share|equit|etf|fund|trust|adr|reit"),
    ("debt", r"bond|treasur|certificate of deposit|\bcd\b|municipal|debenture"),
)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Securities with the same number but of different kinds: their ids, and each vendor's security type."""

    number: str
    security_ids: list[int]
    kinds: list[str]


def link_securities(securities: pa.Table, known: Mapping[int, int]) -> tuple[dict[int, int], list[Conflict]]:
    """Match the vendors' securities.

    Args:
        securities: As SECURITIES, of all vendors.
        known: Security id -> id of the security that represented it before. It continues to represent the matching securities; without
            one, the smallest id represents them.

    Returns:
        Security id -> id of the security that represents it, without securities that represent themselves; and the conflicts.
    """
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    numbers = read_numbers(securities["cusip"]).to_pylist()
    for row, number in zip(securities.to_pylist(), numbers, strict=True):
        if number and (key := _key(row, number)):
            groups[key].append(row)
    same: dict[int, int] = {}
    conflicts = []
    for key, rows in groups.items():
        ids = sorted(row["security_id"] for row in rows)
        if len({kind for row in rows if (kind := _kind(row["security_type"]))}) > 1:
            ordered = sorted(rows, key=lambda row: int(row["security_id"]))
            kinds = [f"{row['vendor']}: {row['security_type'] or 'unknown'}" for row in ordered]
            conflicts.append(Conflict(key[0], ids, kinds))
            continue
        anchor = min({known[each] for each in ids if each in known} & set(ids), default=ids[0])
        same |= {each: anchor for each in ids if each != anchor}
    return same, conflicts


def read_numbers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Normalize numbers to a CUSIP, or else an ISIN; null for any other text or a wrong check digit."""
    plain = pc.utf8_upper(pc.utf8_trim_whitespace(values.combine_chunks()))
    is_sized = pc.is_in(pc.utf8_length(plain).cast(pa.int64()), value_set=pa.array(_NUMBER_SIZES, pa.int64()))
    is_number = pc.and_(is_sized, pc.match_substring_regex(plain, _NUMBER))
    numbers = pc.if_else(pc.and_kleene(is_number, has_check_digit(plain)), plain, None)
    inner = pc.replace_substring_regex(numbers, _WITH_CUSIP, r"\2")
    numbers = pc.if_else(has_check_digit(inner), inner, numbers)
    return pa.chunked_array([pc.if_else(pc.match_substring_regex(numbers, "X{3}|[*]{3}"), None, numbers)])


def _key(row: Mapping[str, Any], number: str) -> tuple[str, ...] | None:
    """Return the key by which a security is matched: securities with equal keys are one. None if it must not be matched."""
    if _PLACEHOLDER.match(number[:8]):
        return None
    if len(number) != _NUMBER_SIZES[0] or not _PRIVATE.match(number):
        return (number,)
    is_cash = "cash" in {str(row[name]).strip().lower() for name in ("ticker", "security_type")}
    words = " ".join(re.findall(r"\w+", (row["ticker"] or row["name"] or "").lower()))
    return None if is_cash or not words else (number, words)


def _kind(security_type: str | None) -> str | None:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", security_type or "").lower()
    return next((kind for kind, pattern in _KINDS if re.search(pattern, words)), None)
