"""The lists of the Operations pages, by their entry of the navigation."""

from __future__ import annotations

from include.operations.listing import Column, Listing
from include.operations.rejected_rows import REJECTED_ROWS
from include.operations.salesforce_lists import SALESFORCE_LISTS

DEAD_LETTERS = Listing(
    "dead-letters", "Dead letters",
    "Rows that could not be processed and wait for a decision: load them once the cause is fixed, or discard them.",
    "open_dead_letters",
    (
        Column("vendor", "Vendor"), Column("table_name", "Table"), Column("business_date", "Business date", "date"), Column("stage", "Step"),
        Column("reasons", "Reason"), Column("dead_letters", "Rows", "number"), Column("money_usd", "Money", "money"),
        Column("money_unreadable", "Rows whose money can't be read", "number"), Column("since", "Since", "time"),
    ),
    ("-since", "vendor", "table_name", "reasons", "business_date", "stage"), ("vendor", "table_name", "business_date", "stage"),
    "No row waits: every row of every vendor was loaded, replayed or discarded.", template="dead_letters.html",
)  # fmt: skip

DEAD_LETTER_ROWS = Listing(
    "dead-letter-rows", "Rows of dead letters", "One line per row, with the reason and the record that it may describe.", "dead_letter_row",
    (
        Column("dead_letter_id", "Id", "number"), Column("vendor", "Vendor"), Column("table_name", "Table"),
        Column("business_date", "Business date", "date"), Column("stage", "Step"), Column("row_key", "Row"), Column("reasons", "Reason"),
        Column("describes", "May describe"), Column("money_usd", "Money", "money"), Column("status", "Status"), Column("run_id", "Run", "run"),
        Column("died_at", "Since", "time"), Column("discarded_by", "Discarded by"), Column("discard_reason", "Reason for discarding"),
    ),
    ("-dead_letter_id",), ("vendor", "table_name", "business_date", "stage", "reasons", "status"),
    "No dead letter matches.", is_personal=True, has_lineage=True,
)  # fmt: skip

RECONCILIATION = Listing(
    "reconciliation", "Reconciliation",
    "Each vendor's totals against the warehouse and Salesforce, by business date: dollars for control totals, units for the roll-forward of"
    " positions. Salesforce has the latest day only. Holdings that other accounts also show are not due there: Missing there compares with what is due.",
    "reconciliation_day",
    (
        Column("business_date", "Business date", "date"), Column("vendor", "Vendor"), Column("check_name", "Check"), Column("result", "Result"),
        Column("expected", "Vendor", "number"), Column("actual", "Warehouse", "number"), Column("difference", "Difference", "number"),
        Column("crm_accepted", "Salesforce", "number"), Column("crm_difference", "Missing there", "number"),
        Column("breaks", "Breaks", "number"), Column("explained", "Explained", "number"), Column("sign_off", "Sign-off"),
        Column("accepted_by", "Accepted by"), Column("note", "Note"), Column("checked_at", "Checked", "time"),
    ),
    ("-business_date", "vendor", "check_name"), ("vendor", "business_date", "check_name", "result"),
    "No day has been reconciled yet. The first daily run of a vendor that states totals appears here.", template="reconciliation.html",
)  # fmt: skip

BREAKS = Listing(
    "breaks", "Breaks", "The accounts and positions that differ, with what explains them.", "reconciliation_break",
    (
        Column("business_date", "Business date", "date"), Column("vendor", "Vendor"), Column("check_name", "Check"), Column("item", "Item"),
        Column("account_name", "Account"), Column("expected", "Vendor", "number"), Column("actual", "Warehouse", "number"),
        Column("difference", "Difference", "number"), Column("explained_by", "Explained by"),
    ),
    ("-business_date", "vendor", "check_name", "item"), ("vendor", "business_date", "check_name", "explained_by"),
    "Nothing differs.", is_personal=True, has_lineage=True,
)  # fmt: skip

SYNCS = Listing(
    "salesforce-syncs", "Syncs", "What each sync sent, by object.", "salesforce_sync",
    (
        Column("synced_at", "Time", "time"), Column("object", "Object"), Column("entity", "Entity"), Column("sent", "Sent", "number"),
        Column("created", "Created", "number"), Column("updated", "Updated", "number"), Column("failed", "Rejected", "number"),
        Column("unprocessed", "Unprocessed", "number"), Column("seconds", "Seconds", "number"), Column("run_id", "Run", "run"),
    ),
    ("-synced_at", "object", "entity", "run_id"), ("object", "entity"), "Nothing has been sent yet.",
)  # fmt: skip

REJECTIONS = Listing(
    "salesforce-rejections", "Rejected records",
    "Records that Salesforce rejected, by object and error code. Records that have changed since are sent by the next sync. After a fix in Salesforce, send the others again.", "salesforce_rejection",
    (
        Column("object", "Object"), Column("error_code", "Error code"), Column("records", "Records", "number"), Column("since", "Since", "time"),
        Column("run_id", "Newest run", "run"),
    ),
    ("-records", "object", "error_code"), ("object", "error_code"), "Salesforce has accepted every record.",
    template="salesforce_rejections.html",
)  # fmt: skip

FINDINGS = Listing(
    "findings", "Findings", "Open findings of the business rules, the most severe first.", "open_finding",
    (
        Column("severity", "Severity"), Column("rule", "Rule"), Column("household", "Household"), Column("advisor", "Advisor"),
        Column("details", "Details"), Column("vendor", "Vendor"), Column("business_date_opened", "Since", "date"),
        Column("days_open", "Days", "number"),
    ),
    ("severity_rank", "rule", "household", "vendor", "details"), ("rule", "severity", "advisor", "vendor"), "No rule has an open finding.", is_personal=True,
    template="findings.html", has_lineage=True,
)  # fmt: skip

DELIVERIES = Listing(
    "deliveries", "Deliveries", "Webhooks and pushed records that wait or could not be processed.", "pending_delivery",
    (
        Column("received_at", "Received", "time"), Column("sender", "Sender"), Column("state", "State"), Column("copies", "Copies", "number"),
        Column("error", "Error"), Column("inbox_id", "Id", "number"),
    ),
    ("-received_at", "-inbox_id"), ("sender", "state"), "Every delivery has been processed.",
)  # fmt: skip

REJECTED_DELIVERIES = Listing(
    "rejected-deliveries", "Rejected deliveries", "Deliveries that could not be processed, and pushes of which rows were rejected.", "rejected_delivery",
    (
        Column("received_at", "Received", "time"), Column("sender", "Sender"), Column("rejected", "Rejected"), Column("rows", "Rows", "number"),
        Column("rejected_rows", "Rejected rows", "number"), Column("reason", "Reason"), Column("copies", "Copies", "number"),
        Column("inbox_id", "Id", "number"),
    ),
    ("-received_at", "-inbox_id"), ("sender", "rejected"), "No delivery was rejected.",
)  # fmt: skip

MISSING_DOCUMENTS = Listing(
    "missing-documents", "Missing documents",
    "Documents of completed envelopes that could not be downloaded. Each is tried again, at growing intervals up to a week.", "missing_document",
    (
        Column("vendor", "Vendor"), Column("envelope_key", "Envelope"), Column("kind", "Document"), Column("completed_at", "Completed", "time"),
        Column("tries", "Tries", "number"), Column("tried_at", "Last try", "time"), Column("next_try_at", "Next try", "time"),
        Column("error", "Error"),
    ),
    ("-tried_at", "vendor", "envelope_key", "kind"), ("vendor", "kind"), "Every document of a completed envelope is stored or due.",
)  # fmt: skip

SUBSCRIBERS = Listing(
    "subscribers", "Subscribers", "Programs that receive our events.", "subscriber_state",
    (
        Column("subscriber", "Subscriber"), Column("state", "State"), Column("reason", "Reason"), Column("waiting", "Waiting", "number"),
        Column("dead", "Given up", "number"), Column("failures", "Failures in a row", "number"), Column("failing_since", "Failing since", "time"),
        Column("paused_until", "Paused until", "time"),
    ),
    ("subscriber",), ("state",), "No subscriber is connected.", template="subscribers.html",
)  # fmt: skip

GIVEN_UP_EVENTS = Listing(
    "given-up-events", "Given-up events", "Events that a subscriber did not accept in any attempt.", "given_up_event",
    (
        Column("occurred_at", "Time", "time"), Column("subscriber", "Subscriber"), Column("type", "Type"), Column("vendor", "Vendor"),
        Column("subject", "Subject"), Column("tries", "Tries", "number"), Column("tried_at", "Last try", "time"),
        Column("last_status", "HTTP status", "number"), Column("last_error", "Error"), Column("event_id", "Id"),
    ),
    ("-occurred_at", "event_id", "subscriber"), ("subscriber", "type", "vendor"), "No delivery was given up.", template="given_up_events.html",
)  # fmt: skip

REQUESTS = Listing(
    "requests", "Requests", "Runs and replays that programs requested by the API.", "caller_request",
    (
        Column("requested_at", "Requested", "time"), Column("caller", "Caller"), Column("what", "What"), Column("vendor", "Vendor"),
        Column("state", "State"), Column("detail", "Detail"), Column("tries", "Tries", "number"), Column("run_id", "Run", "run"),
        Column("ended_at", "Ended", "time"),
    ),
    ("-requested_at", "run_id"), ("caller", "what", "vendor", "state"), "No program has requested a run.",
)  # fmt: skip

API_KEYS = Listing(
    "api-keys", "API keys", "Keys of programs that call the API. Secrets are not stored.", "caller_key",
    (
        Column("caller", "Caller"), Column("key_id", "Key"), Column("scopes", "Scopes"), Column("state", "State"),
        Column("created_at", "Created", "time"), Column("expires_at", "Expires", "time"), Column("last_used_on", "Last used", "date"),
        Column("revoked_at", "Revoked", "time"), Column("changed_by", "Changed by"),
    ),
    ("caller", "-created_at", "key_id"), ("caller", "state"), "No key has been created.", template="api_keys.html",
)  # fmt: skip

ACTIVITY = Listing(
    "activity", "Activity", "Runs, alerts, decisions, approvals, replays and settings, the newest first.", "activity",
    (
        Column("happened_at", "Time", "time"), Column("who", "Who"), Column("action", "Did"), Column("subject", "What"), Column("reason", "Reason"),
        Column("vendor", "Vendor"), Column("kind", "Kind"),
    ),
    ("-happened_at", "who", "action", "subject", "vendor", "kind"), ("who", "vendor", "kind", "action"), "Nothing has happened yet.", is_personal=True,
)  # fmt: skip

DOCUMENTS = Listing(
    "documents", "Signed documents", "Documents of completed envelopes, with their retention.", "stored_document",
    (
        Column("completed_at", "Completed", "time"), Column("vendor", "Vendor"), Column("subject", "Envelope"), Column("envelope_key", "Id"),
        Column("kind", "Document"), Column("bytes", "Bytes", "number"), Column("stored_at", "Stored", "time"),
        Column("retain_until", "Retained until", "date"), Column("held_for", "Held for"), Column("held_by", "Held by"),
        Column("content_hash", "SHA-256"),
    ),
    ("-stored_at", "vendor", "envelope_key", "kind"), ("vendor", "kind"), "No document is stored yet.", is_personal=True,
    template="documents.html",
)  # fmt: skip

GROUPS = {
    "Dead letters": (DEAD_LETTERS, DEAD_LETTER_ROWS, REJECTED_ROWS),
    "Reconciliation": (RECONCILIATION, BREAKS),
    "Salesforce": (SYNCS, REJECTIONS, *SALESFORCE_LISTS),
    "Findings": (FINDINGS,),
    "Events": (DELIVERIES, REJECTED_DELIVERIES, SUBSCRIBERS, GIVEN_UP_EVENTS, REQUESTS, API_KEYS),
    "Documents": (DOCUMENTS, MISSING_DOCUMENTS),
    "Activity": (ACTIVITY,),
}
"""Entry of the navigation -> its lists."""
