"""Ask an operator to approve a large change before a sync sends it, and record the decision.

- A question is open for a day. During that time, no second question is created for the same object and kind of change.
- An approval is valid for a day and for one sync. It allows as many records as the question names, and a few
  more (see `guard.find_unapproved`), even if they are not the same records.
- A rejection is valid until the change differs from the rejected one, or until an operator requests the approval again.

The user's answer is read from the audit trail, where Airflow's API server recorded it in the user's session. Results of tasks (XComs) are
not used, because operators may write them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from include.crm.settings import Settings
from include.crm.sync.delta import Delta
from include.crm.sync.guard import Concern, find_unapproved
from include.errors import FatalError, TargetUnavailable

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
_ANSWER = sa.text("""
select details ->> 'chosen_option' as option, details ->> 'reason' as reason, actor as answered_by from control.audit
where action = 'airflow.called' and subject = :call and details ? 'chosen_option'
order by entry_id desc limit 1
""")
_STATES = sa.text("""
select distinct on (entity) entity, is_approved, decided_by, decided_at, reason, requested_at from control.crm_question
where entity = any(:entities) order by entity, question_id desc
""")


@dataclass(frozen=True, slots=True)
class Question:
    """A question to an operator about a concern. `question_id` is its id in `control.crm_question`; `wording` is the concern's reason."""

    question_id: int
    entity: str
    wording: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A user's answer to questions: the chosen option, the reason (empty if the user entered none), and the user's name."""

    option: str
    reason: str
    answered_by: str


def request_approval(
    engine: sa.Engine,
    concerns: Sequence[Concern],
    deltas: Mapping[str, Delta],
    settings: Settings,
    run_id: str,
    *,
    reopens: bool = False,
) -> list[Question]:
    """Create a question for each concern that needs one.

    A concern does not need a question in three cases: it is approved, a question about it is open, or exactly the same change was rejected
    (see `identify`).

    Args:
        engine: The database, as the loading role.
        concerns: The concerns of a preview.
        deltas: The counts of the same preview, by entity.
        settings: The firm's settings; see `guard.find_unapproved`.
        run_id: The run that found the concerns.
        reopens: Also create questions about changes that were rejected.

    Returns:
        The new questions.
    """
    with engine.begin() as db:
        db.execute(_ONE_AT_A_TIME)
        is_open = {tuple(row) for row in db.execute(_OPEN)}
        rejected = set() if reopens else {tuple(row) for row in db.execute(_REJECTED)}
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
    """Return a text that identifies the change behind a concern, to recognize a change that was rejected.

    The text of a `worth` concern is the total worth and its change. The text of other concerns is a hash of the records and their
    new values.
    """
    return f"{delta.worth_usd} {delta.moved_usd}" if concern.question == "worth" else delta.difference


def name_run(question_ids: Sequence[int]) -> str:
    """Return the id of the run of the DAG `approve_salesforce` that asks these questions.

    The id contains the ids of the questions, so an answer in this run can't be used for other questions.
    """
    return "questions_" + "_".join(map(str, question_ids))


def find_answer(engine: sa.Engine, question_ids: Sequence[int]) -> Answer:
    """Return the newest answer that Airflow accepted from a user in the run about these questions.

    Raises:
        TargetUnavailable: The audit trail has no such answer.
    """
    run_id = name_run(question_ids)
    call = f"PATCH /api/v2/dags/approve_salesforce/dagRuns/{run_id}/taskInstances/decide/-1/hitlDetails"
    with engine.connect() as db:
        row = db.execute(_ANSWER, {"call": call}).mappings().first()
    if row is None:
        raise TargetUnavailable(
            "The audit trail has no answer of a user to this request. If the answer was given while the database was unavailable, clear the"
            " task `decide` and answer again; if the run was started by hand, let the DAG `salesforce` start one", run_id=run_id,
        )  # fmt: skip
    return Answer(row["option"], (row["reason"] or "").strip(), row["answered_by"])


def decide(engine: sa.Engine, question_ids: Sequence[int], is_approved: bool, reason: str, decided_by: str) -> int:
    """Record a decision on questions that have none yet; return the number of questions decided.

    Raises:
        FatalError: The decision is a rejection without a reason.
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
    """Mark as used the approvals of the objects that a run has sent, because an approval is valid for one sync."""
    with engine.begin() as db:
        db.execute(_USE, {"run_id": run_id})


def describe(engine: sa.Engine, entities: Sequence[str]) -> dict[str, str]:
    """Describe the newest question of each entity: the decision on it, or since when it waits for one.

    Returns:
        The texts by entity. An entity without a question is left out.
    """
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
