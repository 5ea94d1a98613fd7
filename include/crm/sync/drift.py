"""Decisions about single records that differ in Salesforce: create them again, or leave edited fields to Salesforce."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from include.errors import InputRejected

_CREATE_AGAIN = sa.text("select control.create_again(:user, :sobject, :keys)")
_LEAVE = sa.text("""
update control.crm_state
set left_by = :user, left_fields = array(select distinct name from unnest(left_fields || cast(:fields as text[])) name order by name)
where sobject = :sobject and external_key = any(:keys)
""")
# What users have typed into these fields since is unknown, so their accepted values are forgotten.
_WRITE_AGAIN = sa.text("""
update control.crm_state set left_by = :user, left_fields = '{}', payload = payload - left_fields
where sobject = :sobject and external_key = any(:keys) and left_fields <> '{}'
""")


def create_again(engine: sa.Engine, sobject: str, keys: Sequence[str], user: str) -> int:
    """Let the next sync create records again that were deleted or merged in Salesforce; return the number of records.

    Args:
        engine: The database, as the loading role.
        sobject: Salesforce's object.
        keys: Our keys of the records.
        user: The user who decided. The database writes the audit trail.
    """
    with engine.begin() as db:
        return int(db.scalar(_CREATE_AGAIN, {"sobject": sobject, "keys": list(keys), "user": user}) or 0)


def leave_to_salesforce(engine: sa.Engine, sobject: str, keys: Sequence[str], fields: Sequence[str], user: str) -> int:
    """Stop writing some fields of records; return the number of records. The fields then belong to the firm's users.

    Args:
        engine: The database, as the loading role.
        sobject: Salesforce's object.
        keys: Our keys of the records.
        fields: API names of the fields. They are added to those that were left to Salesforce earlier.
        user: The user who decided.

    Raises:
        InputRejected: No field is selected.
    """
    if not fields:
        raise InputRejected("Select at least one field to leave to Salesforce")
    values = {"sobject": sobject, "keys": list(keys), "fields": list(fields), "user": user}
    with engine.begin() as db:
        return db.execute(_LEAVE, values).rowcount


def write_again(engine: sa.Engine, sobject: str, keys: Sequence[str], user: str) -> int:
    """Let the next sync write all fields of records again that were left to Salesforce; return the number of records."""
    with engine.begin() as db:
        return db.execute(_WRITE_AGAIN, {"sobject": sobject, "keys": list(keys), "user": user}).rowcount
