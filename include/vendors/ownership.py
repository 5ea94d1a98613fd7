"""Who owns what share of an account, where households reach accounts through groups within groups, and in parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple


class Edge(NamedTuple):
    """What a household or a group holds: an account, or another group; `share_ratio` is the part of it that counts (0-1)."""

    held: str
    is_account: bool
    share_ratio: Decimal = Decimal(1)


Edges = Mapping[str, Iterable[Edge]]
_LAST_DIGIT = Decimal("0.00000001")


def shares_of(households: Edges, groups: Edges) -> dict[str, dict[str, Decimal]]:
    """Adds nothing up twice: account -> household -> share.

    By several ways from one household to an account the largest share counts. If all households together own more than the
    whole, what each of them owns is in proportion. A group that holds itself, by whatever way, ends there. A share has eight
    digits.
    """
    owned: dict[str, dict[str, Decimal]] = {}

    def walk(edges: Iterable[Edge], household: str, share: Decimal, above: frozenset[str]) -> None:
        for edge in edges:
            part = share * edge.share_ratio
            if edge.is_account:
                shares = owned.setdefault(edge.held, {})
                shares[household] = max(shares.get(household, Decimal(0)), part)
            elif edge.held not in above:
                walk(groups.get(edge.held, ()), household, part, above | {edge.held})

    for household, edges in households.items():
        walk(edges, household, Decimal(1), frozenset())
    return {account: _settled(shares) for account, shares in owned.items()}


def _settled(shares: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Shares of at most the whole. Rounding neither adds to their sum nor takes from it: the largest one bears it."""
    claimed = sum(shares.values(), Decimal(0))
    whole = max(claimed, Decimal(1))
    settled = {household: (share / whole).quantize(_LAST_DIGIT, ROUND_DOWN) for household, share in shares.items()}
    largest = max(settled, key=lambda household: (settled[household], household))
    settled[largest] += min(claimed, Decimal(1)).quantize(_LAST_DIGIT, ROUND_DOWN) - sum(settled.values())
    return settled
