"""Known differences: accounts whose value the vendor states, but whose positions it never delivers.

Such an account breaks the control total every day, by another amount each day. A declaration accepts this break on the business dates that
it names. It covers only an account without a single position, so every other difference stops the day as before.
"""

from __future__ import annotations

from datetime import date

import sqlalchemy as sa

from include.errors import InputRejected

LONGEST_DAYS = 366
"""Longest time for which a difference can be declared; then it must be declared again."""

_DECLARE = sa.text("""
insert into control.known_difference (vendor, account_key, first_date, last_date, reason, declared_by, run_id)
values (:vendor, :account_key, :first_date, :last_date, :reason, :declared_by, :run_id)
""")
_IN_FORCE = sa.text("""
select account_key, declared_by from (
    select distinct on (account_key) * from control.known_difference
    where vendor = :vendor and first_date <= :day and (last_date >= :day or last_date < first_date)
    order by account_key, known_difference_id desc
) newest
where last_date >= :day
""")


def declare(
    engine: sa.Engine,
    vendor: str,
    account_key: str,
    days: tuple[date, date],
    reason: str,
    declared_by: str,
    run_id: str,
) -> None:
    """Declare that a vendor never delivers the positions of an account. The audit trail records it.

    Args:
        engine: The database, as the loading role.
        vendor: The vendor's name.
        account_key: The vendor's key of the account, as the error of the rejected day shows it.
        days: The first and last business date. A last date before the first one ends earlier declarations from the first one on.
        reason: Why the vendor does not deliver them.
        declared_by: The operator.
        run_id: The run.

    Raises:
        InputRejected: The reason or the account is missing or unknown, or the declaration is for longer than `LONGEST_DAYS`.
    """
    first_date, last_date = days
    if not reason.strip():
        raise InputRejected("State the reason for the known difference")
    if (last_date - first_date).days > LONGEST_DAYS:
        raise InputRejected(f"A known difference may last at most {LONGEST_DAYS} days", last_date=last_date)
    values = {
        "vendor": vendor, "account_key": account_key.strip(), "first_date": first_date, "last_date": last_date,
        "reason": reason.strip(), "declared_by": declared_by, "run_id": run_id,
    }  # fmt: skip
    known = "select exists (select from warehouse.source_key where entity = 'account' and vendor = :vendor and source_key = :account_key)"
    with engine.begin() as connection:
        if not connection.scalar(sa.text(known), values):
            raise InputRejected("The vendor has no account with this key", vendor=vendor, account=values["account_key"])
        connection.execute(_DECLARE, values)


def find_in_force(connection: sa.Connection, vendor: str, day: date) -> dict[str, str]:
    """Return the accounts of a vendor whose positions are known to be missing on a business date: key -> the operator who declared it."""
    return dict(connection.execute(_IN_FORCE, {"vendor": vendor, "day": day}).tuples().all())
