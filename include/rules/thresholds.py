"""The thresholds in force: who changed which, and the form in which users change them. `include.rules.policy` declares them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

import orjson
import sqlalchemy as sa

from include.database.refusal import translate_refusal
from include.rules.policy import Policy

_NEWEST = sa.text("select change_id, thresholds from control.threshold_change order by change_id desc limit 1")
_HISTORY = sa.text(
    "select changes, changed_by, changed_at from control.threshold_change order by change_id desc limit 20"
)
_CHANGE = sa.text(
    "select control.change_thresholds(:actor, cast(:thresholds as jsonb), cast(:changes as jsonb), :seen)"
)
_DOCUMENTED = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)

Value = str | bool
"""A value in the form: a number as text, a list as text with a line per item, or a checkbox."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One field of the form.

    Attributes:
        name: Name of the threshold; it ends with the unit.
        description: Its meaning.
        kind: `number`, `list` or `flag`.
        value: The value in force.
        default: The default.
    """

    name: str
    description: str
    kind: str
    value: Value
    default: Value


def read_saved(connection: sa.Connection) -> tuple[int | None, dict[str, Any] | None]:
    """Return the id of the newest change, and the thresholds that differ from the defaults; (None, None) before the first change."""
    row = connection.execute(_NEWEST).first()
    return (None, None) if row is None else (row.change_id, row.thresholds)


def read_history(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return the newest changes: `changes` (name -> from, to), `changed_by` and `changed_at`."""
    return [dict(row) for row in connection.execute(_HISTORY).mappings()]


def list_thresholds(policy: Policy) -> list[Threshold]:
    """Return the fields of the form, in the order of the declaration."""
    described = {name: " ".join(text.split()) for name, text in _DOCUMENTED.findall(inspect.getdoc(Policy) or "")}
    defaults = Policy()
    return [
        Threshold(
            field.name, described[field.name], _find_kind(getattr(defaults, field.name)), _write(getattr(policy, field.name)),
            _write(getattr(defaults, field.name)),
        )
        for field in fields(Policy)
    ]  # fmt: skip


def read_form(values: Mapping[str, Value]) -> dict[str, Any]:
    """Return the thresholds of a filled form that differ from the defaults, as `Policy.of` takes them.

    Raises:
        ConfigurationError: A name is unknown or a value is invalid; the message lists all faults.
    """
    kinds = {each.name: each.kind for each in list_thresholds(Policy())}
    policy, defaults = Policy.of({name: _parse(value, kinds.get(name)) for name, value in values.items()}), Policy()
    return {
        field.name: export(getattr(policy, field.name))
        for field in fields(Policy)
        if getattr(policy, field.name) != getattr(defaults, field.name)
    }


def compare(before: Policy, after: Policy) -> dict[str, dict[str, Any]]:
    """Return the thresholds that differ: name -> `from` and `to`."""
    return {
        field.name: {"from": export(getattr(before, field.name)), "to": export(getattr(after, field.name))}
        for field in fields(Policy)
        if getattr(before, field.name) != getattr(after, field.name)
    }


def change(
    engine: sa.Engine, actor: str, before: Policy, thresholds: Mapping[str, Any], seen: int | None
) -> dict[str, dict[str, Any]]:
    """Put thresholds in force, and return the changes. The database writes the audit trail.

    Args:
        engine: The database, as the role of the pages.
        actor: The user.
        before: The thresholds in force.
        thresholds: Those that differ from the defaults, from `read_form`.
        seen: Id of the newest change that the user saw; None if there was none.

    Raises:
        ConfigurationError: A threshold is invalid.
        InputRejected: Nothing differs, or another user has changed the thresholds meanwhile.
    """
    changes = compare(before, Policy.of(thresholds))
    written = {"thresholds": orjson.dumps(dict(thresholds)).decode(), "changes": orjson.dumps(changes).decode()}
    with translate_refusal(), engine.begin() as connection:
        connection.execute(_CHANGE, {"actor": actor, "seen": seen, **written})
    return changes


def _find_kind(default: Any) -> str:
    return "flag" if isinstance(default, bool) else "list" if isinstance(default, frozenset) else "number"


def _write(value: Any) -> Value:
    if isinstance(value, bool):
        return value
    return "\n".join(sorted(value)) if isinstance(value, frozenset) else f"{value}"


def export(value: Any) -> Any:
    """Return a value for JSON; amounts as text, so that they stay exact."""
    if isinstance(value, frozenset):
        return sorted(value)
    return str(value) if isinstance(value, Decimal) else value


def _parse(value: Value, kind: str | None) -> Value | list[str]:
    """Return a value of the form for `Policy.of`: without spaces around it; a list as its lines, without empty ones."""
    if kind == "list":
        return [line.strip() for line in str(value).splitlines() if line.strip()]
    return value.strip() if isinstance(value, str) else value
