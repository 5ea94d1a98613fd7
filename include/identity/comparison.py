"""Compare the facts of two records for a reviewer: each verdict agrees with the evidence of the matching."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from include.identity.pairs import Pair

Verdict = Literal["equal", "equal, written differently", "close", "different", "only one", "not compared"]

_COMPARISONS = {
    "name": ("first name", "last name", "name"),
    "birth date": ("birth date",),
    "e-mail": ("e-mail", "home (e-mail"),
    "household's e-mail": ("home (e-mail",),
    "telephone": ("home (telephone", "telephone"),
    "address": ("home (address", "home (street", "home (zip", "home (city", "street", "house number"),
    "number": ("number", "last four"),
    "institution": ("institution",),
}
"""Fact -> prefixes of the names of the comparisons that are about it."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One attribute of both records, and how they compare."""

    name: str
    left: str | None
    right: str | None
    verdict: Verdict


def compare(pair: Pair) -> list[Fact]:
    """Return the facts that at least one of the two records has, those of the left record first."""
    names = dict.fromkeys([*pair.left.facts, *pair.right.facts])
    values = [(name, pair.left.facts.get(name), pair.right.facts.get(name)) for name in names]
    return [
        Fact(name, left, right, _evaluate(pair, name, left, right)) for name, left, right in values if left or right
    ]


def _evaluate(pair: Pair, name: str, left: str | None, right: str | None) -> Verdict:
    if not left or not right:
        return "only one"
    if left == right:
        return "equal"
    if _normalize(name, left) == _normalize(name, right):
        return "equal, written differently"
    if _is_among(name, pair.differed):
        return "different"
    return "close" if _is_among(name, pair.agreed) else "not compared"


def _is_among(name: str, comparisons: Iterable[str]) -> bool:
    return any(each.startswith(_COMPARISONS.get(name, (name,))) for each in comparisons)


def _normalize(name: str, value: str) -> str:
    """Return a value without its formatting: of a telephone number the last ten digits, else letters and digits in lower case."""
    if name == "telephone":
        return re.sub(r"\D", "", value)[-10:]
    return "".join(each for each in unicodedata.normalize("NFKC", value).casefold() if each.isalnum())
