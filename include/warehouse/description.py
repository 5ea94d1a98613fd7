"""Load descriptions into the warehouse: dimensions with valid days (`valid_from`, `valid_to`) and recorded times (`recorded_*`).

A change ends the previous version on the business date and begins a new version. A second change on the same day replaces the first.
The row as it was known before the change stays as a closed row (`recorded_to`). Data requested earlier never overwrites data
requested later, whatever the order of the loads. For example, an on-demand run for one client may finish before a pull that began earlier.

A historical pull never changes an instance that is already stored. It only adds instances never seen before, valid from the day that
we saw them, and marks them `is_past_only` until a current pull lists them.

A set (the owners of an account) counts as one instance. In two cases, a new member is not added, but counted as superseded:

- The pull is historical, and the set is already stored.
- A version of the set from a later day is stored.

If an entity excludes another one (`Entity.excludes`), a new key of it ends the other entity's version with the same key and records that as
absent. For example, a registration that was read as a person is now read as a trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from include.business_dates import latest_closed
from include.canonical import Entity
from include.control.ledger import Counts, Pull
from include.errors import TargetUnavailable
from include.warehouse import protection
from include.warehouse.description_statement import DescriptionStatement


def load(
    connection: sa.Connection,
    entity: Entity,
    pull: Pull,
    source_run_id: int,
    *,
    is_past: bool,
    uncertain: Sequence[str] = (),
    is_partial: bool = False,
) -> Counts:
    """Load the copied rows of a description, in the caller's transaction.

    Args:
        connection: With the temporary table `incoming_<entity>`.
        entity: A description.
        pull: The pull that was copied.
        source_run_id: Written on every new row.
        is_past: Whether the pull is historical. Its rows do not state what was true on that date.
        uncertain: Keys of rows in which a null means unknown, because a dead letter of another table contains the value. In these rows,
            a null keeps the stored value.
        is_partial: Whether another table describes the instances, and these rows only refer to them. They add missing instances and
            change none.

    Returns:
        Numbers of rows inserted, updated, unchanged and superseded; `withdrawn` counts members removed from a set, and ended versions of
        an excluded entity.

    Raises:
        TargetUnavailable: Another load changed the same rows meanwhile.
    """
    values: dict[str, Any] = {
        "vendor": pull.vendor,
        "source_run_id": source_run_id,
        "day": latest_closed(pull.extracted_at) if is_past else pull.business_date,
        "past": is_past,
        "partial": is_partial,
        "extracted_at": pull.extracted_at,
        "uncertain": list(uncertain),
        "table": pull.table_name,
        "run_id": pull.run_id,
    }
    statement = DescriptionStatement(entity)
    connection.execute(statement.resolve, values)
    counts = connection.execute(statement.count, values).mappings().one()
    closed = connection.execute(statement.close, values).rowcount
    connection.execute(statement.end, values)
    begun = connection.execute(statement.begin, values).rowcount
    if not is_past:
        connection.execute(statement.confirm, values)
    if (closed, begun) != (counts["changed"], counts["new"] + counts["changed"]):
        raise TargetUnavailable(
            "Another load changed the same rows meanwhile; try again", entity=entity.name, pull=pull.pull_id
        )
    withdrawn = 0
    if entity.set_of and not is_past:
        protection.find(connection, entity, pull)
        withdrawn = connection.execute(statement.leave, values).rowcount
    if entity.excludes and not is_past:
        withdrawn = connection.execute(statement.end_excluded, values).scalar_one()
    return Counts(
        inserted=counts["new"],
        updated=counts["changed"],
        unchanged=counts["same"],
        superseded=counts["older"],
        withdrawn=withdrawn,
    )
