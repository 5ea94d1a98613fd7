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
PRIVATE = "none; it contains client data, so Regulation S-P (17 CFR 248.30) applies to its disposal"
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


def _declare_private(name: str, period: str, begins: str, minimum: str, spared: str = "", way: str = ROWS) -> Dataset:
    return Dataset(name, period, begins, minimum, PRIVATE, way, spared)


def _operational(name: str, period: str, begins: str, minimum: str = "30 days", spared: str = "") -> Dataset:
    return Dataset(name, period, begins, minimum, NONE, ROWS, spared)


def _declare_kept(name: str, reason: str) -> Dataset:
    return Dataset(name, FOR_EVER, reason, way=KEEP)


_RESULT = "measured or loaded, whichever is later"
_NEWEST = "the newest result of each client, plan, goal, portfolio or account that exists"
_DESCRIBED = "replaced by a newer version, or missing at the vendor"
_CURRENT = "what the vendor states today"
_STATE = "the current state: one row per object, overwritten"

FACTS = (
    _book("warehouse.position", "end of the month or load, whichever is later", way=MONTHS),
    _book("warehouse.account_value", "business date or load, whichever is later"),
    _book("warehouse.transaction", "trade date or load, whichever is later"),
    *(
        _book(f"warehouse.{entity}", _RESULT, _NEWEST)
        for entity in ("plan_result", "goal_result", "outside_value", "client_risk", "portfolio_risk")
    ),
)
DESCRIPTIONS = tuple(
    _book(f"warehouse.{entity}", _DESCRIBED, _CURRENT)
    for entity in (
        "account_owner", "account", "registration_party", "registration", "outside_account", "insurance_policy", "portfolio", "questionnaire",
        "goal", "plan", "person", "legal_entity", "household", "representative", "security", "template",
    )
)  # fmt: skip
SIGNING = (
    Dataset("control.document", "0 days", "`retain_until`: seven years after the signature, or as `tributary_retention_years` sets", "0 days",
            BOOKS, "row marked, then file", "documents under a hold", is_held=True),
    _declare_private("staging: documents", "1 days", "disposal of its last row in `control.document`", "1 days", way=FILE),
    _book("warehouse.envelope", "end or load, whichever is later", "unfinished envelopes, and those with a stored document", is_held=True),
    _book("warehouse.envelope_recipient", "change or load, whichever is later", "recipients of a stored envelope", is_held=True),
    _book("warehouse.envelope_event", "event or load, whichever is later", "events of a stored envelope", is_held=True),
    _operational("control.document_try", "90 days", "last try"),
)  # fmt: skip
HISTORY = (
    _book("warehouse.identity", "replaced", "current identities"),
    _book("warehouse.crm_change", "deleted in Salesforce", "changes to records that still exist in Salesforce"),
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
    _declare_private("staging: partitions", "2 years", "pulled", "90 days",
             "partitions with open dead letters; the last loaded partition of each table; those of its last two loaded days", PARTITION),
    _declare_private("staging: incomplete pulls", "7 days", "pulled", "2 days", way=PARTITION),
    _declare_private("warehouse.sealed_value", "7 years", "replaced by another value, or missing at the vendor", "30 days", "what the vendor states today"),
    _declare_private("control.inbox", "90 days", "processed", "30 days", "pending deliveries; pushes whose withdrawal is pending"),
    _declare_private("control.answer", "7 days", "received", "2 days"),
    _declare_private("control.known_answer", "30 days", "last requested", "2 days"),
    _declare_private("control.dead_letter_content", "2 days", "shown", "2 days"),
    _declare_private("control.dead_letter", "2 years", "closed", "30 days", "open ones"),
    _declare_private("control.crm_sent", "90 days", "end of its job", "30 days", "rows of unfinished jobs and of open dead letters"),
    _declare_private("pages: salesforce_changes", "1 years", "written", "30 days", way=FILE),
    _declare_private("pages: data_docs", "1 years", "written", "30 days", way=FILE),
    Dataset("work: crm", "1 days", "last write; a finished sync deletes its files itself", duty=PRIVATE, way=OWNER),
)  # fmt: skip
OPERATION = (
    _operational("control.cache", "1 days", "expired", "0 days"),
    _operational("control.alert", "2 years", "recorded"),
    _operational("control.api_call", "90 days", "called", "14 days"),
    _operational("control.check_report", "2 years", "checked", "14 days", "the newest of each system"),
    _operational("control.crm_job", "2 years", "changed", spared="unfinished jobs, and those with rejected rows"),
    _operational("control.crm_difference", "2 years", "found"),
    _operational("control.idempotency", "2 days", "answered", "2 days"),
    _operational("control.identity_run", "2 years", "ended", spared="the newest"),
    _operational("control.lateness", "2 years", "alerted"),
    _operational("control.outage", "2 years", "ended", spared="open outages"),
    _operational("control.outbound_delivery", "90 days", "last try", spared="waiting deliveries"),
    _operational("control.outbox", "90 days", "routed", spared="events with deliveries"),
    _operational("control.request", "2 years", "ended", spared="open requests"),
    _operational("control.validation", "2 years", "validated"),
    Dataset("staging: logs", "1 years", "written", "30 days", way=FILE),
)
KEPT = (
    _declare_kept(
        "control.audit", "removing an entry would break the chain of seals; ids and counts only, see decision 0039"
    ),
    _declare_kept("control.audit_seal", "the chain of seals"),
    _declare_kept("control.audit_head", "one row: when the newest head was published"),
    _declare_kept(
        "control.ledger", "every warehouse row refers to the ledger row of its load; counts and sums, no client data"
    ),
    _declare_kept(
        "control.absence",
        "which records are missing at the vendor, and since when; their retention period counts from that time",
    ),
    _declare_kept("control.past_absence", "which records were missing at the vendor for a time, and when"),
    _declare_kept("control.backup", "one row per backup; no client data"),
    _declare_kept(
        "control.first_hash",
        "the keys of Salesforce records; without it, a rotation of the hash key would create them again",
    ),
    _declare_kept("control.known_difference", "why days were accepted; keys and reasons, no client data"),
    _declare_kept("control.unused_vendor", "one row per vendor that the firm no longer uses"),
    _declare_kept("control.past_unused_vendor", "when a vendor was not used for a time"),
    _declare_kept("control.recovery_drill", "one row per drill; no client data"),
    _declare_kept("control.api_key", "the audit trail refers to its keys"),
    _declare_kept("control.crm_held", _STATE),
    _declare_kept("control.crm_mark", _STATE),
    _declare_kept("control.crm_org", "the id of the Salesforce org; no client data"),
    _declare_kept(
        "control.crm_state", "the state that Salesforce accepted last; without it, every record would be sent again"
    ),
    _declare_kept("control.crm_topic", _STATE),
    _declare_kept("control.drift", "one row per unknown field; no values"),
    _declare_kept("control.evaluated_day", _STATE),
    _declare_kept(
        "control.identity_decision", "no run overrides a decision; without it, the pair would be linked again"
    ),
    _declare_kept("control.identity_lesson", "counts by rule; no client data"),
    _declare_kept("control.identity_link", "updated by each run"),
    _declare_kept("control.identity_review", "updated by each run"),
    _declare_kept("control.org_record", "a copy of the records that the org has now"),
    _declare_kept("control.org_read", _STATE),
    _declare_kept("control.adoption_finding", "rewritten by each comparison"),
    _declare_kept("control.adoption_decision", "no comparison overrides a decision"),
    _declare_kept("control.adoption_approval", "the newest approval of each entity counts"),
    _declare_kept("control.adopted", "only these keys can be removed again"),
    _declare_kept("control.identity_state", "rewritten each week"),
    _declare_kept("control.key", "fingerprints of the firm's keys"),
    _declare_kept("control.outbound_subscriber", _STATE),
    _declare_kept("control.rate_budget", _STATE),
    _declare_kept("control.refresh_token", _STATE),
    _declare_kept("control.restore", "one row per restore"),
    _declare_kept("control.retention", "the minimum periods, and which rows may be disposed of"),
    _declare_kept("control.schema_version", "the version of the schema"),
    _declare_kept("control.security_conflict", _STATE),
    _declare_kept("control.survivorship", "configuration"),
    _declare_kept("control.threshold_change", "the history of the thresholds; no client data"),
    _declare_kept("control.writer", _STATE),
    _declare_kept("mart.source", "which entities each mart reads"),
    _declare_kept("warehouse.source_key", "our id for each vendor's key; an id is never reused"),
)

DATASETS = (*FACTS, *SIGNING, *DESCRIPTIONS, *HISTORY, *COPIES, *OPERATION, *KEPT)
