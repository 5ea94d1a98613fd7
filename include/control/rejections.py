"""Record rejected vendor days. None of a rejected day's data is loaded, and the last good day stays in force."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date

import sqlalchemy as sa

from include.errors import BalanceError, DataQualityError, SchemaDrift

_RECORD = sa.text("""
insert into control.rejection (run_id, vendor, business_date, step, reason)
values (:run_id, :vendor, :business_date, :step, :reason)
on conflict (run_id, vendor, business_date, step) do update set reason = excluded.reason, recorded_at = clock_timestamp()
""")


@contextlib.contextmanager
def record_rejection(engine: sa.Engine, run_id: str, vendor: str, business_date: date, step: str) -> Iterator[None]:
    """Record the reason if the code in the `with` block rejects a vendor's day, then re-raise the error.

    A BalanceError, DataQualityError or SchemaDrift is a rejection. Other errors pass through unrecorded.

    Args:
        engine: The database, as the loading role.
        run_id: The run that processes the day.
        vendor: Name of the vendor.
        business_date: The day.
        step: stage, validate or load.
    """
    try:
        yield
    except (BalanceError, DataQualityError, SchemaDrift) as error:
        record(engine, run_id, vendor, business_date, step, str(error))
        raise


def record(engine: sa.Engine, run_id: str, vendor: str, business_date: date, step: str, reason: str) -> None:
    """Record that a step rejected a vendor's day, with the reason; see `record_rejection`."""
    facts = {"run_id": run_id, "vendor": vendor, "business_date": business_date, "step": step, "reason": reason}
    with engine.begin() as connection:
        connection.execute(_RECORD, facts)
