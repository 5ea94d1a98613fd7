"""Build the rows of account owners, and find the joint owners that are named in account titles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from include.vendors.registrations import People, is_own, own_name

if TYPE_CHECKING:
    import pyarrow as pa

_OWNING = ("owner", "joint owner")
"""Roles of the parties who own a registration."""


class Owner(NamedTuple):
    """One owner of an account.

    Attributes:
        row: Index of the account's row in the table of accounts.
        household: Household that owns the share; None for a joint owner, who has no share.
        person: The person; None if only the household is known, or if a legal entity owns the account.
        share: Share of the account that counts for the household (0-1); 0 for a joint owner.
        role: `primary` or `joint`.
        is_whole: Whether the list of the account's owners is complete, even if rows of another table are dead. It is the same for all
            owners of an account.
        entity: The legal entity; None for a person.
    """

    row: int
    household: Any
    person: Any
    share: Decimal
    role: str
    is_whole: bool
    entity: Any = None


def add_owners(accounts: pa.Table, owners: Sequence[Owner]) -> pa.Table:
    """Return one row per account and owner: the account's columns and one column per attribute of `Owner`, and `owner_key`."""
    import pyarrow as pa

    def text(value: Any) -> str | None:
        return None if value is None else str(value)

    keys = accounts["account_id"].to_pylist()
    columns = {
        "row": pa.array([each.row for each in owners], pa.int64()),
        "owner_key": pa.array(
            [
                f"{keys[o.row]}:{o.household if o.role == 'primary' else f'joint:{o.person or o.entity}'}"
                for o in owners
            ],
            pa.string(),
        ),
        "household_id": pa.array([text(each.household) for each in owners], pa.string()),
        "person_id": pa.array([text(each.person) for each in owners], pa.string()),
        "legal_entity_id": pa.array([text(each.entity) for each in owners], pa.string()),
        "share_ratio": pa.array([each.share for each in owners], pa.decimal128(9, 8)),
        "role": pa.array([each.role for each in owners], pa.string()),
        "is_whole": pa.array([each.is_whole for each in owners], pa.bool_()),
    }
    taken = accounts.take(columns["row"])
    for name, values in columns.items():
        taken = taken.append_column(name, values)
    return taken


def find_joint_owners(titles: Iterable[Mapping[str, Any]]) -> dict[Any, Any]:
    """Find the second person that each joint title names, by a title of that person in the same home.

    Args:
        titles: Rows as for `People`, and `is_joint`.

    Returns:
        Id of a joint title -> smallest id of the second person's titles. A title is left out if it names no second person, if that person
        has no title in the home, or if two people there have that name.
    """
    rows = [row for row in titles if own_name(row)]
    people, others_by_title = People(rows), {}
    for row in (row for row in rows if row["is_joint"]):
        parties = row["registration"].parties
        others = [party.name for party in parties if party.role in _OWNING and not is_own(row, party.name)]
        if len(others) == 1 and (person := people.find(row["home"], others[0])) is not None:
            others_by_title[row["id"]] = person
    return others_by_title
