"""What callers send and what they are answered, in the words of the OpenAPI document."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from include.vendors import VENDORS

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Of a vendor, a table or a rule."""
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@|+-]{0,199}$")]
"""A vendor's id of a client. It stands in the path of a call to the vendor: no slash, and no comma."""
Number = Annotated[int, Field(ge=1, le=2**53 - 1)]
"""JSON readers that take every number for a double still read it exactly."""


def _written_as(pattern: str, example: str) -> BeforeValidator:
    """A number could be meant as seconds since 1970, or not be meant at all."""

    def check(text: object) -> object:
        if not isinstance(text, str) or not re.fullmatch(pattern, text):
            raise ValueError(f"write it like {example}")
        return text

    return BeforeValidator(check)


Day = Annotated[date, Field(strict=False), _written_as(r"\d{4}-\d{2}-\d{2}", "2026-11-25")]
Moment = Annotated[
    AwareDatetime, _written_as(r"\d{4}-\d{2}-\d{2}[Tt ].+", "2026-11-25T13:04:11Z: a day with its time and zone")
]
Stage = Literal["stage", "validate", "transform", "load", "crm"]
T = TypeVar("T")

_VENDOR, _TABLE = VENDORS[0].name, VENDORS[0].asked[0].name
_ID = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"
_MOMENT = "2026-11-25T13:04:11.482Z"


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RunOrder(_Sent):
    """A run of a vendor's day on demand."""

    model_config = ConfigDict(json_schema_extra={"example": {"vendor": _VENDOR, "tables": [_TABLE]}})

    vendor: Name = Field(description="Which vendor; see listVendors.")
    tables: list[Name] = Field([], max_length=100, description="What to pull; none: every table.")
    business_date: Day | None = Field(
        None, description="Left out: the latest closed session. A past date takes only what can be stated as of then."
    )
    clients: list[Key] = Field(
        [],
        max_length=1000,
        description="The vendor's ids of single clients, where it can be asked for them; none: all.",
    )
    full_refresh: bool = Field(False, description="Ignore when tables were last pulled.")
    wait: bool = Field(True, description="Wait until the vendor has closed the day.")


class ReplayOrder(_Sent):
    """Dead letters of one table and day that shall be sent again."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"vendor": _VENDOR, "table": _TABLE, "business_date": "2026-11-25"}}
    )

    vendor: Name
    table: Name
    business_date: Day = Field(description="The letters' own.")
    letters: list[Number] = Field([], max_length=1000, description="Ids of open letters; none: every open one.")
    dry_run: bool = Field(False, description="Pull and check, and load nothing.")


class Accepted(BaseModel):
    """Something that was taken and will be done."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"id": _ID, "asked_at": _MOMENT, "status_url": f"/api/v1/runs/{_ID}"}}
    )

    id: UUID
    asked_at: datetime
    status_url: str = Field(description="Ask there what became of it.")


class RejectedRow(BaseModel):
    """A row of a push that is not loaded, and why; its values are not returned."""

    row: int = Field(description="Its place in the body, from 0.")
    fields: list[str] = Field(description="Which fields are absent or do not fit; empty: it is not a row of the table.")
    reasons: list[str] = Field(description="Why, one for each field.")


class AcceptedRecords(Accepted):
    """Pushed rows that will be loaded, and those that are rejected; `status_url` has the final result."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": _ID,
                "asked_at": _MOMENT,
                "status_url": f"/api/v1/pushes/{_ID}",
                "accepted": 2,
                "rejected": [{"row": 1, "fields": ["name"], "reasons": ["name: absent"]}],
            }
        }
    )

    accepted: int = Field(
        description="Rows that have the shape of the table's; how their texts are written is checked later."
    )
    rejected: list[RejectedRow] = Field(
        description="Rows that become dead letters; the others are loaded without them."
    )


class Step(BaseModel):
    """What a step of a run took in and gave out."""

    stage: Stage
    table: str
    entity: str = Field(description="Of the warehouse; empty before the step `transform`.")
    business_date: date
    fetched: int
    staged: int
    duplicate: int
    dead: int
    produced: int
    inserted: int
    updated: int
    unchanged: int
    superseded: int
    recorded_at: datetime


class Run(BaseModel):
    """A run or a replay that was asked for."""

    id: UUID
    run_id: str = Field(description="Its name in Airflow, and in the ledger.")
    what: Literal["run", "replay"]
    vendor: str
    state: Literal["waiting", "started", "succeeded", "failed"]
    detail: str | None = Field(description="Why it failed, where that is known.")
    asked_at: datetime
    ended_at: datetime | None = Field(description="When the end was noticed.")


class RunWithSteps(Run):
    """A run or a replay, and what it did so far."""

    steps: list[Step]


class Push(BaseModel):
    """Pushed records, and what became of them."""

    id: UUID
    vendor: str
    table: str
    state: Literal["waiting", "processed", "partial", "error"] = Field(
        description="`processed`: every row is loaded; `partial`: but for the rejected ones; `error`: none is."
    )
    received_at: datetime
    processed_at: datetime | None
    error: str | None = Field(description="Why rows were not loaded; null: every row was, or they wait.")
    rows: int | None = Field(description="How many rows were read; null: they wait, or came to nothing.")
    dead: int | None = Field(description="How many of them are dead letters.")
    rejected: list[RejectedRow] = Field(description="The first 1,000 of those.")


class DeclaredTable(BaseModel):
    """A table of a vendor."""

    name: str
    is_pushable: bool = Field(description="Whether its records can be pushed.")
    states_past: bool = Field(description="Whether it can be had as of a past date.")
    takes_clients: bool = Field(description="Whether it can be asked for single clients.")
    key_fields: list[str] = Field(description="The vendor's fields that every record needs.")


class DeclaredField(BaseModel):
    """A field of a table's rows."""

    name: str = Field(description="The vendor's; `address.city` is the field `city` of the object `address`.")
    column: str = Field(description="Our name of it.")
    type: str = Field(description="integer, boolean, string, date, timestamp, pairs, or decimal(digits,decimals).")
    unit: str | None = Field(description="Of its values; null: they have none.")
    is_nullable: bool = Field(description="Whether a row may state it as null; every row states it.")
    is_key: bool = Field(description="Whether it is a part of what identifies a row.")
    is_sensitive: bool = Field(description="Whether only its keyed hash and last four characters are kept.")


class TableWithFields(DeclaredTable):
    """A table of a vendor, and the fields of its rows."""

    vendor: str
    fields: list[DeclaredField]


class DeclaredVendor(BaseModel):
    """A vendor."""

    name: str
    title: str
    tables: list[DeclaredTable]


class Freshness(BaseModel):
    """How new what we have of a table is."""

    vendor: str
    table: str
    stage: Literal["stage", "load"] = Field(description="`stage` for a table of which the warehouse holds nothing.")
    business_date: date | None = Field(description="The newest day that is in; null: none yet.")
    recorded_at: datetime | None
    extracted_at: datetime | None
    rows: int | None = Field(description="Rows of that day that could be read.")
    due_date: date = Field(description="The day that should be in by `due_at`.")
    due_at: datetime | None = Field(description="Null: the vendor has no time by which it is due.")
    is_late: bool


class Finding(BaseModel):
    """What a business rule found, once, however often it was seen."""

    id: int
    vendor: str
    rule: str
    subject_entity: Literal["account", "household", "person", "deal"]
    subject_id: int
    household_id: int | None
    severity: Literal["info", "warning", "critical"]
    measure: str = Field(description="An exact decimal; its unit is the rule's.")
    details: str
    business_date_opened: date
    business_date_seen: date
    business_date_closed: date | None
    opened_at: datetime
    changed_at: datetime
    closed_at: datetime | None


class Letter(BaseModel):
    """A row that could not go on, and why; what it holds is not told."""

    id: int
    run_id: str
    vendor: str
    table: str
    business_date: date
    stage: str
    key: str | None = Field(description="The row's key at the vendor; null: it could not be read.")
    reasons: list[str] = Field(description="Of what the CRM refused the code alone.")
    status: Literal["open", "replayed", "superseded", "discarded"]
    died_at: datetime
    closed_at: datetime | None


class Page(BaseModel, Generic[T]):
    """Some of a list, the newest first."""

    items: list[T]
    next: str | None = Field(description="The `cursor` of the next page; null: this is the last.")


class RunPage(Page[Run]):
    """Some of the runs that were asked for, the newest first."""


class FindingPage(Page[Finding]):
    """Some of the findings, the newest first."""


class LetterPage(Page[Letter]):
    """Some of the dead letters, the newest first."""


class Vendors(BaseModel):
    """Every vendor."""

    items: list[DeclaredVendor]


class FreshnessOfAll(BaseModel):
    """The freshness of every table."""

    items: list[Freshness]
