"""The request and response bodies of the API; their descriptions appear in the OpenAPI document."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from include.vendors import VENDORS

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Name of a vendor, a table or a rule."""
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@|+-]{0,199}$")]
"""A vendor's id of a client. It becomes part of a request path, so it may contain neither a slash nor a comma."""
Number = Annotated[int, Field(ge=1, le=2**53 - 1)]
"""A positive integer, small enough to be exact in JSON parsers that read every number as a double."""


def _require_format(pattern: str, example: str) -> BeforeValidator:
    """Return a validator that accepts only text that matches a pattern. Without it, pydantic would read a number as seconds since 1970."""

    def check(text: object) -> object:
        if not isinstance(text, str) or not re.fullmatch(pattern, text):
            raise ValueError(f"must be a string like {example}")
        return text

    return BeforeValidator(check)


Day = Annotated[date, Field(strict=False), _require_format(r"\d{4}-\d{2}-\d{2}", "2026-11-25")]
Moment = Annotated[
    AwareDatetime, _require_format(r"\d{4}-\d{2}-\d{2}[Tt ].+", "2026-11-25T13:04:11Z: date, time and time zone")
]
Stage = Literal["stage", "validate", "transform", "load", "crm"]
T = TypeVar("T")

_VENDOR, _TABLE = VENDORS[0].name, VENDORS[0].requested_tables[0].name
_ID = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b"
_MOMENT = "2026-11-25T13:04:11.482Z"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RunOrder(_Body):
    """An order for a run that pulls tables of a vendor for one business date."""

    model_config = ConfigDict(json_schema_extra={"example": {"vendor": _VENDOR, "tables": [_TABLE]}})

    vendor: Name = Field(description="The vendor's name; see listVendors.")
    tables: list[Name] = Field([], max_length=100, description="The tables to pull; empty: every table.")
    business_date: Day | None = Field(
        None,
        description="Left out: the latest closed trading day. For a past date, only tables with `states_past` can be pulled.",
    )
    clients: list[Key] = Field(
        [],
        max_length=1000,
        description="The vendor's ids of the clients to pull, for tables with `takes_clients`; empty: all clients.",
    )
    full_refresh: bool = Field(False, description="Pull all rows, not only those edited since the last pull.")
    wait: bool = Field(True, description="Wait until the vendor has closed the day.")


class ReplayOrder(_Body):
    """An order to replay dead letters of one table and business date."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"vendor": _VENDOR, "table": _TABLE, "business_date": "2026-11-25"}}
    )

    vendor: Name
    table: Name
    business_date: Day = Field(description="The business date of the dead letters.")
    dead_letters: list[Number] = Field(
        [], max_length=1000, description="Ids of open dead letters; empty: all that are open."
    )
    dry_run: bool = Field(False, description="Pull and check the rows, but load nothing.")


class Accepted(BaseModel):
    """An accepted request. It is stored, and will be processed."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"id": _ID, "requested_at": _MOMENT, "status_url": f"/api/v1/runs/{_ID}"}}
    )

    id: UUID
    requested_at: datetime
    status_url: str = Field(description="URL that returns the state of the request.")


class RejectedRow(BaseModel):
    """A row of a push that is not loaded, with the reasons; its values are not returned."""

    row: int = Field(description="Position of the row in the body, from 0.")
    fields: list[str] = Field(description="The absent or invalid fields; empty: the row as a whole is invalid.")
    reasons: list[str] = Field(description="The reasons, one for each field.")


class AcceptedRecords(Accepted):
    """The result of the first check of pushed rows; `status_url` returns the final result."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": _ID,
                "requested_at": _MOMENT,
                "status_url": f"/api/v1/pushes/{_ID}",
                "accepted": 2,
                "rejected": [{"row": 1, "fields": ["name"], "reasons": ["name: absent"]}],
            }
        }
    )

    accepted: int = Field(
        description="Number of rows with the shape of the table; the notation of their text values is checked later."
    )
    rejected: list[RejectedRow] = Field(
        description="Rows that become dead letters; the others are loaded without them."
    )


class Step(BaseModel):
    """The row counts of one step of a run."""

    stage: Stage
    table: str
    entity: str = Field(description="The warehouse's entity; empty before the step `transform`.")
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
    """A run or a replay that was requested through this API."""

    id: UUID
    run_id: str = Field(description="The id of the run in Airflow and in the ledger.")
    what: Literal["run", "replay"]
    vendor: str
    state: Literal["waiting", "started", "succeeded", "failed"]
    detail: str | None = Field(description="Why it failed, if known.")
    requested_at: datetime
    ended_at: datetime | None = Field(description="When the end of the run was detected.")


class RunWithSteps(Run):
    """A run or a replay, with the steps done so far."""

    steps: list[Step]


class Push(BaseModel):
    """Pushed records and their outcome."""

    id: UUID
    vendor: str
    table: str
    state: Literal["waiting", "processed", "partial", "error", "withdrawn"] = Field(
        description="`processed`: all rows are loaded or outdated; `partial`: all except the rejected rows; `error`: no row is loaded; "
        "`withdrawn`: the push was withdrawn."
    )
    received_at: datetime
    processed_at: datetime | None
    error: str | None = Field(
        description="Why rows were not loaded; null: all rows are loaded, or the push is waiting."
    )
    rows: int | None = Field(description="Number of rows read; null: the push is waiting, or failed as a whole.")
    dead: int | None = Field(description="Number of rows that are dead letters.")
    rejected: list[RejectedRow] = Field(description="The first 1,000 of the dead letters.")
    outdated: int | None = Field(
        description="Number of records that were not loaded, because a newer state is stored, or because a newer pull no longer contains them."
    )
    withdrawal_requested_at: datetime | None = Field(description="When the caller withdrew it; null: never.")
    withdrawn_at: datetime | None = Field(description="When the withdrawal was processed.")
    withdrawn: int | None = Field(description="Number of records in the warehouse that were withdrawn.")
    restored: int | None = Field(description="Number of them that got their earlier version back; the others ended.")
    superseded: int | None = Field(description="Number of records that have changed since and stay as they are.")


class DeclaredTable(BaseModel):
    """A table of a vendor."""

    name: str
    is_pushable: bool = Field(description="Whether its records can be pushed.")
    states_past: bool = Field(description="Whether it can be pulled as of a past date.")
    takes_clients: bool = Field(description="Whether it can be pulled for single clients.")
    key_fields: list[str] = Field(
        description="The vendor's names of the key's fields; empty if records can't be pushed."
    )


class DeclaredField(BaseModel):
    """A field of a table's rows."""

    name: str = Field(description="The vendor's name; `address.city` is the field `city` of the object `address`.")
    column: str = Field(description="Tributary's name.")
    type: str = Field(description="integer, boolean, string, date, timestamp, pairs, or decimal(digits,decimals).")
    unit: str | None = Field(description="The unit of its values; null: they have none.")
    is_nullable: bool = Field(description="Whether its value may be null; every row must contain it.")
    is_key: bool = Field(description="Whether it is part of the row's key.")
    is_sensitive: bool = Field(description="Whether only its keyed hash and last four characters are stored.")


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
    """The freshness of a table."""

    vendor: str
    table: str
    stage: Literal["stage", "load"] = Field(
        description="The table's last stage; `stage` if it is not loaded to the warehouse."
    )
    business_date: date | None = Field(description="The newest business date that is in; null: none yet.")
    recorded_at: datetime | None
    extracted_at: datetime | None
    rows: int | None = Field(description="Number of readable rows of that day.")
    due_date: date = Field(description="The business date that is due by `due_at`.")
    due_at: datetime | None = Field(description="The deadline; null: the vendor has none for this stage.")
    is_late: bool


class Finding(BaseModel):
    """A finding of a business rule, reported once, however often the rule finds it again."""

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


class DeadLetter(BaseModel):
    """A dead letter: a row that could not be loaded, with the reasons but without its content."""

    id: int
    run_id: str
    vendor: str
    table: str
    business_date: date
    stage: str
    key: str | None = Field(description="The row's key at the vendor; null: it could not be read.")
    reasons: list[str] = Field(description="Why the row died; for a row that the CRM refused, only the error code.")
    status: Literal["open", "replayed", "superseded", "discarded"]
    died_at: datetime
    closed_at: datetime | None


class Page(BaseModel, Generic[T]):
    """One page of a list, the newest first."""

    items: list[T]
    next: str | None = Field(description="The `cursor` of the next page; null: this is the last page.")


class RunPage(Page[Run]):
    """One page of the runs and replays, the newest first."""


class FindingPage(Page[Finding]):
    """One page of the findings, the newest first."""


class DeadLetterPage(Page[DeadLetter]):
    """One page of the dead letters, the newest first."""


class Vendors(BaseModel):
    """All vendors."""

    items: list[DeclaredVendor]


class FreshnessOfAll(BaseModel):
    """The freshness of every table."""

    items: list[Freshness]


class HealthSignal(BaseModel):
    """A health signal of one vendor, table or queue."""

    name: str
    title: str
    labels: dict[str, str] = Field(
        description="The vendor, table or queue; empty if the signal is about the whole firm."
    )
    light: Literal["green", "amber", "red", "grey"] = Field(description="grey: there is no value.")
    value: float | None
    unit: Literal["seconds", "items", "dollars", "ratio"]
    amber_above: float | None = Field(description="The light is amber above this value; null: never.")
    red_above: float | None = Field(description="The light is red above this value; null: never.")
    action: str = Field(description="What to do if the light is amber or red.")
    guide: str = Field(description="The guide that explains how.")


class Health(BaseModel):
    """All health signals, the worst first."""

    light: Literal["green", "amber", "red", "grey"] = Field(
        description="The worst light; grey only if there is nothing else."
    )
    checked_at: datetime
    signals: list[HealthSignal]
