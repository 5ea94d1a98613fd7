"""A seed's plan: vendors' days, edits before them, envelopes, and timed faults."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg

from include import business_dates
from include.vendors import VENDORS
from tests.vendors.matter import Edit, matter_of

HOLDING = [vendor.name for vendor in VENDORS if any(each.entity == "position" for each in vendor.maps)]
"""Vendors that are also pulled for past dates."""
PAST_SESSIONS = 20
"""A past date is one of this many sessions before the latest."""
DAY_SPAN_S = 45.0
"""Faults of the day strike within this many seconds after its start."""
SYNC_SPAN_S = 20.0

COMPONENTS = ("scheduler", "api-server", "dag-processor", "triggerer", "sandbox")
VICTIMS = {"task": 6, "worker": 3, "backend": 3, "postmaster": 1, **dict.fromkeys(COMPONENTS, 1), "scheduler": 2}
"""Victim -> its weight. `task`: a process that runs a task; `worker`: one of the scheduler that starts them."""


@dataclass(frozen=True)
class Fault:
    """A SIGKILL, or a SIGSTOP that is followed by SIGCONT.

    Attributes:
        after_s: Seconds after the start of its phase.
        victim: A key of `VICTIMS`.
        stopped_s: Seconds until SIGCONT; 0 means SIGKILL.
        draw: Chooses one of several victims (0-1).
    """

    after_s: float
    victim: str
    stopped_s: float
    draw: float

    def __str__(self) -> str:
        return f"{self.victim} {f'stop {self.stopped_s:.0f}s' if self.stopped_s else 'kill'}"


@dataclass(frozen=True)
class Round:
    """A seed's plan.

    Attributes:
        days: Vendor -> business date as text, or None for the latest.
        edits: Edits at the vendors before any run.
        envelopes: Households that are sent an envelope each during the faults; DocuSign's webhooks report them.
        day_faults: Faults while the vendors' days run.
        sync_faults: Faults during the Salesforce sync.
    """

    seed: int
    days: dict[str, str | None]
    edits: list[Edit] = field(default_factory=list)
    envelopes: list[int] = field(default_factory=list)
    day_faults: list[Fault] = field(default_factory=list)
    sync_faults: list[Fault] = field(default_factory=list)

    def __str__(self) -> str:
        days = [name if day is None else f"{name}@{day}" for name, day in self.days.items()]
        return "+".join(days + ["salesforce"] + (["webhooks"] if self.envelopes else []))


def draw_round(seed: int, database: psycopg.Connection[Any]) -> Round:
    """Draw a seed's plan; the keys to edit come from `database`, the twin's."""
    # Each draw is independent, so earlier edits of the firm change only the keys.
    chooser, editor, signer, striker = (
        random.Random(f"{seed}:{what}") for what in ("days", "edits", "envelopes", "faults")
    )
    names = chooser.sample([vendor.name for vendor in VENDORS], chooser.choice((1, 2, 2)))
    days = {name: _draw_past(chooser) if name in HOLDING and chooser.random() < 0.4 else None for name in names}
    edits = [edit for name in names for edit in matter_of(name).draw_edits(editor, lambda *of: _keys(database, *of))]
    households = [int(key) for key in _keys(database, "household", "orion")]
    envelopes = signer.sample(households, 2 if signer.random() < 0.5 else 0)
    day_faults = [_draw_fault(striker, DAY_SPAN_S) for _ in range(striker.randint(2, 4))]
    sync_faults = [_draw_fault(striker, SYNC_SPAN_S) for _ in range(striker.randint(0, 2))]
    return Round(seed, days, edits, envelopes, *(sorted(f, key=lambda f: f.after_s) for f in (day_faults, sync_faults)))


def _draw_past(rng: random.Random) -> str:
    day = business_dates.latest_closed(datetime.now(UTC))
    for _ in range(rng.randint(1, PAST_SESSIONS)):
        day = business_dates.previous(day)
    return day.isoformat()


def _draw_fault(rng: random.Random, span_s: float) -> Fault:
    [victim] = rng.choices(list(VICTIMS), list(VICTIMS.values()))
    # After more than 45 s Airflow considers a stopped task dead and starts another; then the first one resumes.
    longest = 75.0 if victim in ("task", "worker") and rng.random() < 0.4 else 20.0
    stopped_s = rng.uniform(2.0, longest) if rng.random() < 0.4 else 0.0
    return Fault(rng.uniform(1.0, span_s), victim, stopped_s, rng.random())


def _keys(database: psycopg.Connection[Any], entity: str, vendor: str, where: str = "true") -> list[str]:
    query = (
        f"select {entity}_key from warehouse.{entity} where vendor = %s and recorded_to is null and {where} order by 1"
    )
    return [str(row[f"{entity}_key"]) for row in database.execute(query, [vendor]).fetchall()]
