"""Record and undo reviewers' decisions on pairs.

A stored decision never changes, and the matching never overrules it; a newer decision on the same pair replaces it. A decision takes
effect in the next run, and so does its undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from include.errors import FatalError
from include.identity.pairs import Decision, read_decision, read_records

REASON_LENGTH = 500

_FIND = sa.text("select * from control.identity_decision where decision_id = :id")
_NEWER = sa.text("""
select * from control.identity_decision
where entity = :entity and left_id = :left and right_id = :right and decision_id > :id order by decision_id limit 1
""")
_BEFORE = sa.text("select * from control.identity_decision where decision_id = :id and not is_withdrawn")

_ONE_AT_A_TIME = sa.text("select pg_advisory_xact_lock(hashtext('identity_decision'))")
_NEWEST = sa.text(
    "select * from control.identity_decision_in_force where entity = :entity and left_id = :left and right_id = :right"
)
_INSERT = sa.text("""
insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by, is_withdrawn, replaces)
values (:entity, :left, :right, :is_same, :reason, :by, :is_withdrawn,
        (select max(decision_id) from control.identity_decision where entity = :entity and left_id = :left and right_id = :right))
returning *
""")

# A decision on another pair that contradicts the new one. The new decision is "same": a "not the same" between a record that "same"
# decisions join to the left and one that they join to the right. It is "not the same": a chain of "same" decisions from left to right.
_CONTRADICTED = sa.text("""
with recursive other as (
    select * from control.identity_decision_in_force where entity = :entity and not (left_id = :left and right_id = :right)
), alike (root, id) as (
    values (cast(:left as bigint), cast(:left as bigint)), (:right, :right)
    union
    select a.root, case when o.left_id = a.id then o.right_id else o.left_id end
    from alike a join other o on o.is_same and a.id in (o.left_id, o.right_id)
)
select o.* from other o
where :is_same and not o.is_same
      and exists (select from alike a join alike b on a.root <> b.root and a.id = o.left_id and b.id = o.right_id)
   or not :is_same and o.is_same and o.left_id in (select id from alike where root = :left)
      and :right in (select id from alike where root = :left)
order by o.decision_id desc limit 1
""")


_LESSONS = sa.text(
    "select rule, answers, same, expected, bits from control.identity_lesson order by answers desc, rule"
)


class Lesson(NamedTuple):
    """A correction of a rule's scores, which the last full run learned from the reviewers' decisions.

    Attributes:
        rule: Name of the rule, as reviewers read it.
        answers: Number of answers on pairs of the rule.
        same: Number of answers that both records are one person.
        expected: Share of such answers that the built-in scores predict, 0 to 1.
        bits: Bits added to the score of every pair of the rule; 0 for no correction.
    """

    rule: str
    answers: int
    same: int
    expected: float
    bits: float


def list_lessons(connection: sa.Connection) -> list[Lesson]:
    """Return the lessons, those with the most answers first."""
    return [Lesson(*row) for row in connection.execute(_LESSONS)]


class DecisionRefused(FatalError):
    """A decision that was rejected.

    Args:
        message: The reason, and what to do next.
        known: The existing decision that conflicts with the rejected one; None if there is none.
    """

    def __init__(self, message: str, known: Decision | None = None) -> None:
        self.known = known
        super().__init__(message)


def undo(engine: sa.Engine, decision_id: int, decided_by: str) -> Decision:
    """Undo the newest decision on a pair. The previous decision, if any, applies again; otherwise the pair is undecided.

    If a run has used the decision, the next run reverts its effect.

    Args:
        engine: Engine of the loading role.
        decision_id: The decision to undo.
        decided_by: The reviewer who undoes it.

    Returns:
        The new decision that records the undo; the undone one stays on record.

    Raises:
        DecisionRefused: The decision does not exist, a newer decision replaced it, or the previous decision contradicts a decision on
            another pair.
    """
    with engine.begin() as db:
        db.execute(_ONE_AT_A_TIME)
        row = db.execute(_FIND, {"id": decision_id}).mappings().first()
        if row is None or row["is_withdrawn"]:
            raise DecisionRefused("Decision not found; reload the list of decisions")
        of = {"entity": row["entity"], "left": row["left_id"], "right": row["right_id"]}
        newer = db.execute(_NEWER, of | {"id": decision_id}).mappings().first()
        if newer is not None:
            raise DecisionRefused(
                "A newer decision replaced this one; reload the list of decisions", read_decision(newer)
            )
        before = db.execute(_BEFORE, {"id": row["replaces"]}).mappings().first()
        is_same = row["is_same"] if before is None else before["is_same"]
        if before is not None:
            _refuse_contradiction(db, of | {"is_same": is_same})
        values = of | {"is_same": is_same, "reason": f"Undo of decision {decision_id}", "by": decided_by}
        return read_decision(db.execute(_INSERT, values | {"is_withdrawn": before is None}).mappings().one())


def decide(
    engine: sa.Engine,
    entity: str,
    left: int,
    right: int,
    is_same: bool,
    reason: str,
    decided_by: str,
    seen: int | None = None,
) -> Decision:
    """Record a reviewer's decision on a pair. Repeating the same decision changes nothing.

    Args:
        engine: Engine of the loading role.
        entity: `person` or `account`.
        left: Id of a record.
        right: Id of another record; the order does not matter.
        is_same: Whether both describe the same person or account. False also separates two linked records.
        reason: The reason; up to `REASON_LENGTH` characters.
        decided_by: The reviewer.
        seen: `decision_id` of the newest decision on the pair that the reviewer saw; None if there was none.

    Raises:
        DecisionRefused: A record does not exist, the newest decision on the pair is not the one that the reviewer saw, or the decision
            contradicts a decision on another pair.
    """
    low, high = sorted((left, right))
    of = {"entity": entity, "left": low, "right": high, "is_same": is_same}
    with engine.begin() as db:
        db.execute(_ONE_AT_A_TIME)
        _require_records(db, entity, low, high)
        row = db.execute(_NEWEST, of).mappings().first()
        last = None if row is None else read_decision(row)
        if last is not None and last.is_same == is_same and (last.decided_by == decided_by or last.decision_id == seen):
            return last
        if (last.decision_id if last else None) != seen:
            raise DecisionRefused(f"The pair has changed: {_describe(db, last)}; reload the page", last)
        _refuse_contradiction(db, of)
        values = of | {"reason": reason.strip(), "by": decided_by, "is_withdrawn": False}
        return read_decision(db.execute(_INSERT, values).mappings().one())


def _refuse_contradiction(db: sa.Connection, decision: Mapping[str, Any]) -> None:
    row = db.execute(_CONTRADICTED, decision).mappings().first()
    if row is not None:
        other = read_decision(row)
        raise DecisionRefused(
            f"This contradicts the decision on another pair: {_describe(db, other)}; change that decision first", other
        )


def _require_records(db: sa.Connection, entity: str, left: int, right: int) -> None:
    is_person = entity == "person"
    ids = {abs(left), abs(right)} if is_person else {left, right}
    if len(ids) < 2 or len(read_records(db, entity, ids)) < 2:
        raise DecisionRefused("The two records were not found; reload the queue")


def _describe(db: sa.Connection, decision: Decision | None) -> str:
    if decision is None:
        return "there is no decision on it"
    known = read_records(db, decision.entity, {abs(decision.left), abs(decision.right)})
    names = [known.get(abs(each), {}).get("name") or str(each) for each in (decision.left, decision.right)]
    word = "the same" if decision.is_same else "not the same"
    at = f"{decision.decided_at:%Y-%m-%d %H:%M} UTC"
    return f"{decision.decided_by} decided at {at} that {names[0]} and {names[1]} are {word}"
