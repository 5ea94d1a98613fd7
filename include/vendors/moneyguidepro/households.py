"""MoneyGuidePro's households and their participants."""

from __future__ import annotations

from include.contract import (
    DATE,
    INTEGER,
    STRING,
    TIMESTAMP,
    EntityMap,
    Nested,
    Table,
    column,
    constant,
    derived,
    ignored,
)
from include.vendors.arrays import full_name, parse_household_key

# --- tables: parents before children ---------------------------------------------------------------------------------

HOUSEHOLDS = Table(
    name="households",
    path="Households",
    key=("household_id",),
    has_objects=True,
    omits_nulls=True,
    columns=(
        column("household_id", "householdId", INTEGER, required=True),
        column("integration_key", "integrationKey", STRING),
        column("name", "name", STRING, required=True),
        column("advisor_id", "advisorId", STRING),
        column("participants", "participants", STRING),
        column("last_modified", "lastModified", TIMESTAMP),
    ),
)

PARTICIPANTS = Table(
    name="participants",
    path="",
    key=("participant_id",),
    shape=Nested("households", ("participants",)),
    omits_nulls=True,
    dates="us",
    columns=(
        column("participant_id", "participantId", INTEGER, required=True),
        column("household_id", "@household_id", INTEGER, required=True),
        column("integration_key", "@integration_key", STRING),
        column("participant_type", "participantType", INTEGER),
        column("first_name", "firstName", STRING),
        column("last_name", "lastName", STRING),
        column("birth_date", "dob", DATE),
        column("email", "email", STRING),
        column("sex", "sex", INTEGER),
        *ignored("maritalStatus"),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "household",
        "households",
        {
            "household_key": "household_id",
            "representative_key": "advisor_id",
            "name": "name",
            "is_active": constant(True),
        },
    ),
    EntityMap(
        "person",
        "participants",
        {
            "person_key": "participant_id",
            "household_key": "household_id",
            "name": derived(full_name, "first_name", "last_name"),
            "first_name": "first_name",
            "last_name": "last_name",
            "birth_date": "birth_date",
            "email": "email",
            "cross_references": derived(parse_household_key, "integration_key"),
        },
    ),
)
