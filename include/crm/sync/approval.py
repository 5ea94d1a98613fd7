"""Requests for approval of changes too large to be sent without it, and the decisions on them.

A question is open for a day. While it is open, no other is created for the same object and kind of change. An approval allows what
was asked, once, even if the difference has changed by then. A rejection counts until the difference changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from include.crm.settings import Settings
from include.crm.sync.delta import Delta
from include.crm.sync.guard import Concern, find_unapproved
from include.errors import FatalError

REASON_LENGTH = 500

_ONE_AT_A_TIME = sa.text("select pg_advisory_xact_lock(hashtext('crm_question'))")
_OPEN = sa.text("""
select entity, question from control.crm_question where is_approved is null and requested_at > now() - interval '1 day'
""")
_REJECTED = sa.text("select entity, question, difference from control.crm_question where is_approved = false")
_APPROVED = sa.text("""
select entity, question, records, wording as reason from control.crm_question
where is_approved and used_by is null and decided_at > now() - interval '1 day'
""")
_CREATE = sa.text("""
insert into control.crm_question (entity, question, records, difference, wording, run_id)
values (:entity, :question, :records, :difference, :reason, :run_id) returning question_id
""")
_DECIDE = sa.text("""
update control.crm_question set is_approved = :is_approved, reason = :reason, decided_by = :by, decided_at = clock_timestamp()
where question_id = any(:ids) and is_approved is null returning question_id
""")
_USE = sa.text("""
update control.crm_question set used_by = :run_id
where is_approved and used_by is null
  and entity in (select entity from control.ledger where run_id = :run_id and stage = 'crm' and sent > 0)
""")
_STATES = sa.text("""
select distinct on (entity) entity, is_approved, decided_by, decided_at, reason, requested_at from control.crm_question
where entity = any(:entities) order by entity, question_id desc
""")


@dataclass(frozen=True, slots=True)
class Question:
    """A concern that waits for a decision; `question_id` is its id in `control.crm_question`."""

    question_id: int
    entity: str
    wording: str


def ask(
    engine: sa.Engine, concerns: Sequence[Concern], deltas: Mapping[str, Delta], settings: Settings, run_id: str
) -> list[Question]:
    """Create a question for each concern without a decision or an open question.

    Args:
        engine: As the loading role.
        concerns: Of a preview.
        deltas: Of the same preview, by entity.
        settings: Define how many changes beyond an approval need no new question.
        run_id: Names the run that found them.

    Returns:
        The new questions.
    """
    with engine.begin() as db:
        db.execute(_ONE_AT_A_TIME)
        is_open = {tuple(row) for row in db.execute(_OPEN)}
        rejected = {tuple(row) for row in db.execute(_REJECTED)}
        questions = []
        for concern in find_unapproved(list(concerns), _read_approved(db), settings):
            difference = identify(concern, deltas[concern.entity])
            about = (concern.entity, concern.question)
            if about not in is_open and (*about, difference) not in rejected:
                values: dict[str, Any] = asdict(concern) | {"difference": difference, "run_id": run_id}
                question_id = db.execute(_CREATE, values).scalar_one()
                questions.append(Question(question_id, concern.entity, concern.reason))
    return questions


def identify(concern: Concern, delta: Delta) -> str:
    """Return a text that identifies a difference: a hash of the records and their new values; for a worth, its change."""
    return f"{delta.worth_usd} {delta.moved_usd}" if concern.question == "worth" else delta.difference


def decide(engine: sa.Engine, question_ids: Sequence[int], is_approved: bool, reason: str, decided_by: str) -> int:
    """Record a decision on questions; earlier decisions stay unchanged. Return the number of questions decided.

    Raises:
        FatalError: A rejection without a reason.
    """
    reason = reason.strip()[:REASON_LENGTH]
    if not is_approved and not reason:
        raise FatalError("A rejection needs a reason: enter one", questions=list(question_ids))
    values = {"ids": list(question_ids), "is_approved": is_approved, "reason": reason, "by": decided_by}
    with engine.begin() as db:
        return db.execute(_DECIDE, values).rowcount


def find_approved(engine: sa.Engine) -> list[Concern]:
    """Return the concerns approved within the last day that no sync has used yet."""
    with engine.connect() as db:
        return _read_approved(db)


def use(engine: sa.Engine, run_id: str) -> None:
    """Mark the approvals of the objects that a run sent as used, because an approval counts once."""
    with engine.begin() as db:
        db.execute(_USE, {"run_id": run_id})


def describe(engine: sa.Engine, entities: Sequence[str]) -> dict[str, str]:
    """Return entity -> text of its newest question's decision, or since when it waits for one."""
    with engine.connect() as db:
        rows = db.execute(_STATES, {"entities": list(entities)}).mappings().all()
    return {row["entity"]: _describe(row) for row in rows}


def _describe(row: sa.RowMapping) -> str:
    if row["is_approved"] is None:
        return f"waits for a decision since {row['requested_at']:%Y-%m-%d %H:%M} UTC"
    decision = "approved" if row["is_approved"] else "rejected"
    reason = f": {row['reason']}" if row["reason"] else ""
    return f"{decision} by {row['decided_by']} at {row['decided_at']:%Y-%m-%d %H:%M} UTC{reason}"


def _read_approved(db: sa.Connection) -> list[Concern]:
    return [Concern(**row) for row in db.execute(_APPROVED).mappings()]
