"""One business date of a vendor: its checks, its breaks with their causes, and the decisions of operators about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import sqlalchemy as sa

from include.database.refusal import translate_refusal

SIGNED_OFF, ACCEPTED = "signed off", "accepted"

_OF_DAY = "where vendor = :vendor and business_date = :day"
_CHECKS = sa.text(f"select * from control.reconciliation_day {_OF_DAY} order by check_name")  # noqa: S608
_BREAKS = sa.text(f"""
select *, count(*) over () as total from control.reconciliation_break {_OF_DAY}
order by explained_by = 'nothing' desc, abs(difference) desc, item limit :limit offset :offset
""")  # noqa: S608
_DECISIONS = sa.text(f"select * from control.day_decision {_OF_DAY} order by decision_id desc")  # noqa: S608
_REJECTIONS = sa.text(f"select * from control.rejection {_OF_DAY} order by recorded_at desc limit 5")  # noqa: S608
_DEAD_LETTERS = sa.text(f"""
select table_name, stage, reasons, dead_letters, money_usd from control.open_dead_letters {_OF_DAY} order by dead_letters desc limit 50
""")  # noqa: S608
_FINGERPRINT = sa.text("select control.fingerprint_day(:vendor, :day)")
_DECIDE = sa.text("select control.decide_day(:actor, :decision, :vendor, :day, :note, :seen)")

_Rows = Sequence[sa.RowMapping]


@dataclass(frozen=True, slots=True)
class Day:
    """A business date of a vendor.

    Attributes:
        vendor: Name of the vendor.
        business_date: The day.
        checks: The newest result of each check.
        breaks: One page of the accounts and positions that differ, the unexplained and the largest first.
        total: Number of these accounts and positions.
        dead_letters: The day's open dead letters, grouped; they explain breaks.
        rejections: The newest rejections of the day by a step.
        decisions: The decisions of operators, the newest first.
        fingerprint: Identifies the figures of the checks; a decision is about these.
    """

    vendor: str
    business_date: date
    checks: _Rows
    breaks: _Rows
    total: int
    dead_letters: _Rows
    rejections: _Rows
    decisions: _Rows
    fingerprint: str

    @property
    def has_failed(self) -> bool:
        """Whether a check failed, so that the day can only be accepted or corrected."""
        return any(check["result"] == "failed" for check in self.checks)

    @property
    def can_accept(self) -> bool:
        """Whether there is anything to accept: a check that failed, or a step that rejected the day."""
        return self.has_failed or bool(self.rejections)

    @property
    def sign_off(self) -> sa.RowMapping | None:
        """The newest sign-off; None if there is none."""
        return next((each for each in self.decisions if each["decision"] == SIGNED_OFF), None)

    @property
    def has_changed(self) -> bool:
        """Whether a run found other figures after the sign-off, or rows changed the day and no check has compared it since."""
        return any(check["sign_off"] == "changed since" for check in self.checks)


def read_day(connection: sa.Connection, vendor: str, day: date, offset: int, limit: int) -> Day:
    """Return a business date of a vendor, with one page of its breaks."""
    values = {"vendor": vendor, "day": day}
    breaks = connection.execute(_BREAKS, values | {"limit": limit, "offset": offset}).mappings().all()
    checks, dead_letters, rejections, decisions = (
        connection.execute(query, values).mappings().all()
        for query in (_CHECKS, _DEAD_LETTERS, _REJECTIONS, _DECISIONS)
    )
    fingerprint = str(connection.scalar(_FINGERPRINT, values))
    total = int(breaks[0]["total"]) if breaks else 0
    return Day(vendor, day, checks, breaks, total, dead_letters, rejections, decisions, fingerprint)


def decide_day(engine: sa.Engine, actor: str, decision: str, vendor: str, day: date, note: str, seen: str) -> int:
    """Record an operator's decision about a day; return its id. The database writes the audit trail.

    Args:
        engine: The database, as the role of the pages.
        actor: The operator.
        decision: `SIGNED_OFF` or `ACCEPTED`. An acceptance does not load the day: a run with *Accept an unusual day* does.
        vendor: Name of the vendor.
        day: The business date.
        note: Why.
        seen: The fingerprint of the day that the operator saw.

    Raises:
        InputRejected: The note is empty, the day has changed meanwhile, or there is nothing to decide; the message states the reason.
    """
    values = {"actor": actor, "decision": decision, "vendor": vendor, "day": day, "note": note, "seen": seen}
    with translate_refusal(), engine.begin() as connection:
        return int(connection.scalar(_DECIDE, values) or 0)
