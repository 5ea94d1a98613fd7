"""The retention rules of every table, staging folder and page folder: how long it is stored and why, and how it is disposed of.

The database repeats the rules of its tables in `control.retention`, with the minimum periods and the rows that qualify, so that neither a
setting nor a task can dispose of a record too early. A test compares both lists, and proves that no table and no folder is missing here.

`DATASETS` is in the order of disposal: rows that refer to other rows go first.
"""

from __future__ import annotations

from dataclasses import dataclass

FOR_EVER = "for ever"

BOOKS = (
    "books and records: SEC Rule 17a-4(a), six years, the first two easily accessible;"
    " Advisers Act Rule 204-2(e), five years after the fiscal year"
)
PRIVATE = "none; it shows clients, so Regulation S-P (17 CFR 248.30) applies to its disposal"
NONE = "none"

ROWS = "rows, in batches"
MONTHS = "whole months"
PARTITION = "manifest, then parts"
FILE = "file"
OWNER = "by the code that writes it"
KEEP = "not disposed of"


@dataclass(frozen=True, slots=True)
class Dataset:
    """One kind of data.

    Attributes:
        name: A table with its schema; or `staging: ...`, `pages: ...` or `work: ...`, a folder.
        period: How long it is stored by default, such as `7 years` or `90 days`, or `for ever`.
        begins: The event at which the period begins; for data that is stored for ever, the reason.
        minimum: The shortest period that a firm may set; empty if it can't be changed.
        duty: The rule that requires the minimum.
        way: How it is disposed of.
        spared: The part that is never disposed of, whatever its age; empty if there is none.
        is_held: Whether a retention hold stops the disposal.
    """

    name: str
    period: str
    begins: str
    minimum: str = ""
    duty: str = NONE
    way: str = ROWS
    spared: str = ""
    is_held: bool = False

    @property
    def is_table(self) -> bool:
        """Whether the dataset is a table of the database."""
        return ": " not in self.name

    @property
    def is_disposable(self) -> bool:
        """Whether the disposal handles the dataset."""
        return self.way not in (KEEP, OWNER)


def _book(name: str, begins: str, spared: str = "", *, way: str = ROWS, is_held: bool = False) -> Dataset:
    return Dataset(name, "7 years", begins, "6 years", BOOKS, way, spared, is_held)


def _private(name: str, period: str, begins: str, minimum: str, spared: str = "", way: str = ROWS) -> Dataset:
    return Dataset(name, period, begins, minimum, PRIVATE, way, spared)


def _operational(name: str, period: str, begins: str, minimum: str = "30 days", spared: str = "") -> Dataset:
    return Dataset(name, period, begins, minimum, NONE, ROWS, spared)


def _kept(name: str, reason: str) -> Dataset:
    return Dataset(name, FOR_EVER, reason, way=KEEP)


_RESULT = "measured and recorded"
_NEWEST = "the newest result of each client, plan, goal, portfolio or account that exists"
_DESCRIBED = "replaced by a newer version, or missing at the vendor"
_CURRENT = "what the vendor states today"
_STATE = "the current state: one row per object, overwritten"

FACTS = (
    _book("warehouse.position", "end of the month, and recorded", way=MONTHS),
    _book("warehouse.account_value", "business date, and recorded"),
    _book("warehouse.transaction", "trade date, and recorded"),
    *(
        _book(f"warehouse.{entity}", _RESULT, _NEWEST)
        for entity in ("plan_result", "goal_result", "outside_value", "client_risk", "portfolio_risk")
    ),
)
DESCRIPTIONS = tuple(
    _book(f"warehouse.{entity}", _DESCRIBED, _CURRENT)
    for entity in (
        "account_owner", "account", "registration", "outside_account", "insurance_policy", "portfolio", "questionnaire",
        "goal", "plan", "person", "household", "representative", "security", "template",
    )
)  # fmt: skip
SIGNING = (
    Dataset("control.document", "0 days", "`retain_until`, seven years after the signature: `tributary_retention_years`", "0 days",
            BOOKS, "row marked, then file", "documents under a hold", is_held=True),
    _private("staging: documents", "1 days", "its last row in `control.document` was disposed of", "1 days", way=FILE),
    _book("warehouse.envelope", "its end, and recorded", "unfinished ones, and those with a stored document", is_held=True),
    _book("warehouse.envelope_recipient", "changed, and recorded", "those of a stored envelope", is_held=True),
    _book("warehouse.envelope_event", "happened, and recorded", "those of a stored envelope", is_held=True),
    _operational("control.document_try", "90 days", "last try"),
)  # fmt: skip
HISTORY = (
    _book("warehouse.identity", "replaced", "what holds today"),
    _book("warehouse.crm_change", "deleted in Salesforce", "changes of records that Salesforce has"),
    _book("control.finding", "closed", "open findings"),
    _book("control.control_total_break", "business date"),
    _book("control.roll_forward_break", "business date"),
    _book("control.day_decision", "business date"),
    _book("control.crm_total", "business date"),
    _book("control.reconciliation", "checked", "the newest of each vendor"),
    _book("control.rejection", "recorded"),
    _book("control.crm_question", "requested", "the newest of each question"),
)
COPIES = (
    _private("staging: partitions", "2 years", "pulled", "90 days",
             "partitions with open dead letters; the newest of each table, and of its last two loaded days", PARTITION),
    _private("staging: incomplete pulls", "7 days", "pulled", "2 days", way=PARTITION),
    _private("warehouse.sealed_value", "7 years", "replaced by another value, or missing at the vendor", "30 days", "what the vendor states today"),
    _private("control.inbox", "90 days", "processed", "30 days", "pending deliveries; pushes whose withdrawal is pending"),
    _private("control.answer", "7 days", "received", "2 days"),
    _private("control.known_answer", "30 days", "last requested", "2 days"),
    _private("control.dead_letter_content", "2 days", "shown", "2 days"),
    _private("control.dead_letter", "2 years", "closed", "30 days", "open ones"),
    _private("control.crm_sent", "90 days", "end of its job", "30 days", "rows of unfinished jobs and of open dead letters"),
    _private("pages: salesforce_changes", "1 years", "written", "30 days", way=FILE),
    _private("pages: results", "1 years", "written", "30 days", way=FILE),
    _private("pages: site", "1 years", "written", "30 days", way=FILE),
    Dataset("pages: site-*", "two builds", "the current site and the one before", duty=PRIVATE, way=OWNER),
    Dataset("work: crm", "1 days", "files of a sync, deleted at its end", duty=PRIVATE, way=OWNER),
)  # fmt: skip
OPERATION = (
    _operational("control.cache", "1 days", "expired", "0 days"),
    _operational("control.alert", "2 years", "recorded"),
    _operational("control.api_call", "90 days", "called", "14 days"),
    _operational("control.crm_job", "2 years", "changed", spared="unfinished jobs, and those with rejected rows"),
    _operational("control.crm_difference", "2 years", "found"),
    _operational("control.idempotency", "2 days", "answered", "2 days"),
    _operational("control.identity_run", "2 years", "ended", spared="the newest"),
    _operational("control.lateness", "2 years", "alerted"),
    _operational("control.outage", "2 years", "over", spared="open outages"),
    _operational("control.outbound_delivery", "90 days", "last try", spared="waiting deliveries"),
    _operational("control.outbox", "90 days", "routed", spared="events with deliveries"),
    _operational("control.request", "2 years", "ended", spared="open requests"),
    _operational("control.validation", "2 years", "validated"),
)
KEPT = (
    _kept("control.audit", "the chain of seals proves it; ids and counts only, see decision 0039"),
    _kept("control.audit_seal", "the chain of seals"),
    _kept("control.audit_head", "one row: when the newest head was published"),
    _kept("control.ledger", "every row refers to the load that wrote it; counts and sums, no clients"),
    _kept("control.absence", "which records the vendor no longer has: the period of these begins with it"),
    _kept("control.backup", "one row per backup; no clients"),
    _kept(
        "control.first_hash",
        "the keys of Salesforce records; without it, a rotation of the hash key would create them again",
    ),
    _kept("control.known_difference", "why days were accepted; keys and reasons, no clients"),
    _kept("control.recovery_drill", "one row per drill; no clients"),
    _kept("control.api_key", "the audit trail refers to its keys"),
    _kept("control.crm_held", _STATE),
    _kept("control.crm_mark", _STATE),
    _kept("control.crm_state", "what Salesforce holds today; without it, every record would be sent again"),
    _kept("control.crm_topic", _STATE),
    _kept("control.drift", "one row per unknown field; no values"),
    _kept("control.evaluated_day", _STATE),
    _kept("control.identity_decision", "no run overrules a decision; without it, the pair would be linked again"),
    _kept("control.identity_link", "rewritten by each run"),
    _kept("control.identity_review", "rewritten by each run"),
    _kept("control.key", "fingerprints of the firm's keys"),
    _kept("control.outbound_subscriber", _STATE),
    _kept("control.rate_budget", _STATE),
    _kept("control.refresh_token", _STATE),
    _kept("control.restore", "one row per restore"),
    _kept("control.retention", "the rules of the disposal"),
    _kept("control.schema_version", "the version of the schema"),
    _kept("control.security_conflict", _STATE),
    _kept("control.survivorship", "configuration"),
    _kept("control.threshold_change", "which thresholds were in force when; no clients"),
    _kept("control.writer", _STATE),
    _kept("mart.source", "which entities each mart reads"),
    _kept("warehouse.source_key", "our ids of the vendors' keys: an id is never used again"),
)

DATASETS = (*FACTS, *SIGNING, *DESCRIPTIONS, *HISTORY, *COPIES, *OPERATION, *KEPT)
