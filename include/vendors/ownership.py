"""Compute the shares of households in accounts that they own through nested groups or in part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, Decimal
from typing import NamedTuple


class Edge(NamedTuple):
    """The share (`share_ratio`, 0-1) of a household or group in an account or another group (`owned_id`)."""

    owned_id: str
    is_account: bool
    share_ratio: Decimal = Decimal(1)


Edges = Mapping[str, Iterable[Edge]]
_LAST_DIGIT = Decimal("0.00000001")


def shares_of(households: Edges, groups: Edges) -> dict[str, dict[str, Decimal]]:
    """Return the share of each household in each account, by account and household, with eight decimals.

    The shares of an account never add up to more than 1.

    If several paths lead from a household to an account, the path with the largest share counts. If the households together own more than
    the whole account, their shares are scaled down to 1. A group that contains itself is not entered again.

    Args:
        households: Household -> its shares.
        groups: Group -> its shares.
    """
    owned: dict[str, dict[str, Decimal]] = {}

    def walk(edges: Iterable[Edge], household: str, share: Decimal, above: frozenset[str]) -> None:
        for edge in edges:
            part = share * edge.share_ratio
            if edge.is_account:
                shares = owned.setdefault(edge.owned_id, {})
                shares[household] = max(shares.get(household, Decimal(0)), part)
            elif edge.owned_id not in above:
                walk(groups.get(edge.owned_id, ()), household, part, above | {edge.owned_id})

    for household, edges in households.items():
        walk(edges, household, Decimal(1), frozenset())
    return {account: _scale_shares(shares) for account, shares in owned.items()}


def _scale_shares(shares: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Scale shares down if they add up to more than 1, and round them down; the largest share absorbs the rounding of the sum."""
    claimed = sum(shares.values(), Decimal(0))
    whole = max(claimed, Decimal(1))
    settled = {household: (share / whole).quantize(_LAST_DIGIT, ROUND_DOWN) for household, share in shares.items()}
    largest = max(settled, key=lambda household: (settled[household], household))
    settled[largest] += min(claimed, Decimal(1)).quantize(_LAST_DIGIT, ROUND_DOWN) - sum(settled.values())
    return settled
