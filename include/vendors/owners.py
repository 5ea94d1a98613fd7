"""Build the rows of account owners, and find the joint owners that are named in account titles."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

_AND = re.compile(r"\s+(?:&|and)\s+", re.IGNORECASE)


class Owner(NamedTuple):
    """One owner of an account.

    Attributes:
        row: Index of the account's row in the table of accounts.
        household: Household that owns the share; None for a joint owner, who has no share.
        person: The person; None if only the household is known.
        share: Share of the account that counts for the household (0-1); 0 for a joint owner.
        role: `primary` or `joint`.
        is_whole: Whether the list of the account's owners is complete, even if rows of another table are dead. It is the same for all
            owners of an account.
    """

    row: int
    household: Any
    person: Any
    share: Decimal
    role: str
    is_whole: bool


def with_owners(accounts: pa.Table, owners: Sequence[Owner]) -> pa.Table:
    """Return one row per account and owner: the account's columns, and row, owner_key, household_id, person_id, share_ratio, role, is_whole."""
    import pyarrow as pa

    def text(value: Any) -> str | None:
        return None if value is None else str(value)

    keys = accounts["account_id"].to_pylist()
    columns = {
        "row": pa.array([each.row for each in owners], pa.int64()),
        "owner_key": pa.array(
            [f"{keys[o.row]}:{o.household if o.role == 'primary' else f'joint:{o.person}'}" for o in owners],
            pa.string(),
        ),
        "household_id": pa.array([text(each.household) for each in owners], pa.string()),
        "person_id": pa.array([text(each.person) for each in owners], pa.string()),
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
        titles: Rows with `id`, `home`, `title` (such as `Ada & Ben Sample`), `is_joint`, and `first_name` and `last_name` of the title's
            person; `birth_date` and `tax_id_hash` distinguish two people with the same name.

    Returns:
        Id of a joint title -> smallest id of the second person's titles. A title is left out if it names no second person, if that person
        has no title in the home, or if two people there have that name.
    """
    rows = [row for row in titles if row["first_name"] and row["last_name"]]
    people: dict[tuple[Any, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        people[row["home"], _own_name(row)].append(row)
    others_by_title = {}
    for row in (row for row in rows if row["is_joint"]):
        others = [name for name in _read_title(row["title"]) if name != _own_name(row)]
        known = people.get((row["home"], others[0]), []) if len(others) == 1 else []
        if known and not any(
            len({each[proof] for each in known} - {None}) > 1 for proof in ("birth_date", "tax_id_hash")
        ):
            others_by_title[row["id"]] = min(each["id"] for each in known)
    return others_by_title


def _read_title(title: str | None) -> list[str]:
    """Return the full names of the two people in a title such as `Ada & Ben Sample`, in lower case; empty for any other format."""
    parts = [_plain(part) for part in _AND.split(title or "")]
    last = parts[-1].rpartition(" ")[2]
    if len(parts) != 2 or " " not in parts[1]:
        return []
    return [part if " " in part else f"{part} {last}" for part in parts]


def _own_name(row: Mapping[str, Any]) -> str:
    return _plain(f"{row['first_name']} {row['last_name']}")


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())
