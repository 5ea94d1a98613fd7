"""The columns of the marts and the warehouse that a firm's mapping can show, and which row of each relation counts for a record.

`catalogue.txt` is generated from the migrations (`make generate`), so that a reference can be checked without a database.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import cast

from include import canonical
from include.crm.firm_changes import OfSeveral, Source

FILE = Path(__file__).parent / "catalogue.txt"
OF_SEVERAL = ("largest", "smallest", "total")
ONE_ROW = {
    "mart.aum_by_household": "household_id",
    "mart.aum_by_representative": "representative_id",
    "mart.goal_health": "goal_id",
    "mart.legal_entity": "legal_entity_id",
    "mart.net_worth": "household_id",
    "mart.plan_freshness": "household_id",
    "mart.questionnaire": "person_id",
    "warehouse.account_value": "account_id",
    "warehouse.client_risk": "person_id",
    "warehouse.portfolio_risk": "portfolio_id",
}
"""Views and facts of which one row counts for each record, and the column that identifies the record."""
_NEWEST = ("business_date", "measured_on", "computed_on", "requested_on")
_CONDITIONS = {
    "valid_to": "x.valid_to is null",
    "recorded_to": "x.recorded_to is null",
    "is_past_only": "not x.is_past_only",
    "is_leading": "x.is_leading",
}


class UnknownColumn(Exception):
    """A reference names no column that the records of an object can show.

    Attributes:
        reason: What is wrong.
        correct: A sentence that describes the correct value.
        wrong: The unknown name, if the mistake is a name.
        known: The valid names, to suggest one that resembles `wrong`; empty if the mistake is not a name.
    """

    def __init__(self, reason: str, correct: str = "", wrong: str = "", known: Collection[str] = ()) -> None:
        super().__init__(reason)
        self.reason, self.correct, self.wrong, self.known = reason, correct, wrong, known


@functools.cache
def read_catalogue() -> Mapping[str, Mapping[str, str]]:
    """Return the columns with their types, by relation."""
    relations: dict[str, dict[str, str]] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        relation, column, type_ = line.split(" ", 2)
        relations.setdefault(relation, {})[column] = type_
    return relations


def find_source(reference: str, ids: Collection[str], of_several: str) -> Source:
    """Return the column that a reference such as `mart.plan_freshness.probability_ratio` names, and which of its rows counts.

    The rows that count are the current ones, of the leading plan if there are several plans, and of the newest day.

    Args:
        reference: Schema, relation and column.
        ids: The columns by which a relation can be joined to a record.
        of_several: The value that counts if several rows remain; empty if none may remain.

    Raises:
        UnknownColumn: There is no such column, or it can't be joined, or several rows may remain.
    """
    relation, _, column = reference.rpartition(".")
    columns = read_catalogue().get(relation)
    if columns is None:
        raise UnknownColumn(f"{relation or reference} is not a relation", wrong=relation, known=read_catalogue())
    if column not in columns:
        raise UnknownColumn(f"{relation} has no column {column}", wrong=column, known=columns)
    key = next((each for each in ids if each in columns), None)
    if key is None:
        raise UnknownColumn(
            f"{relation} has none of the columns by which it could be joined",
            f"A relation must have {' or '.join(ids)}." if ids else "Columns can't be added to this object.",
        )
    if not of_several and not _has_one_row(relation, key):
        raise UnknownColumn(
            f"{relation} can have several rows for one {key}",
            f"Add `of_several: {', '.join(OF_SEVERAL)}`, one of them.",
        )
    if of_several == "total" and not columns[column].startswith(("numeric", "bigint", "integer")):
        raise UnknownColumn(
            f"{reference} is not a number, so it has no total", "Write `of_several: largest` or `smallest`."
        )
    return Source(
        relation=relation,
        column=column,
        type=columns[column],
        key=key,
        where=" and ".join(sql for name, sql in _CONDITIONS.items() if name in columns),
        newest=next((name for name in _NEWEST if name in columns), ""),
        of_several=cast(OfSeveral, of_several),
    )


def _has_one_row(relation: str, key: str) -> bool:
    name = relation.partition(".")[2].removeprefix("known_")
    is_description = any(entity.name == name and entity.kind == "description" for entity in canonical.ENTITIES)
    return ONE_ROW.get(relation) == key or (
        relation.startswith("warehouse.") and is_description and key == f"{name}_id"
    )
