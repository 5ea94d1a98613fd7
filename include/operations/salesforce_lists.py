"""The lists of the Salesforce pages, besides the syncs and rejections."""

from __future__ import annotations

from include.operations.listing import Column, Listing

APPROVALS = Listing(
    "salesforce-approvals", "Approvals", "Large changes that wait for a decision, and the decisions with their reasons.", "salesforce_approval",
    (
        Column("requested_at", "Requested", "time"), Column("object", "Object"), Column("wording", "Change"), Column("state", "State"),
        Column("decided_by", "Decided by"), Column("reason", "Reason"), Column("decided_at", "Decided", "time"), Column("run_id", "Run", "run"),
        Column("question_id", "Request", "number"), Column("approval_run", "Approval run"),
    ),
    ("-requested_at", "-question_id"), ("object", "state"), "No change has needed an approval.", template="salesforce_approvals.html",
)  # fmt: skip

HELD_BACK = Listing(
    "salesforce-held-back", "Held back", "What the newest sync did not send, and why. A later sync sends it once the cause is fixed.",
    "salesforce_held_back",
    (
        Column("object", "Object"), Column("cause", "Cause"), Column("subject", "Vendor, request or error"), Column("records", "Records", "number"),
        Column("reason", "Reason"), Column("since", "Since", "time"), Column("run_id", "Run", "run"),
    ),
    ("object", "cause", "subject"), ("object", "cause"), "The newest sync sent every change.",
)  # fmt: skip

JOBS = Listing(
    "salesforce-jobs", "Jobs", "The jobs that carried records to Salesforce, the newest first. A job that stays open or uploaded is resumed by the next sync.",
    "salesforce_job",
    (
        Column("created_at", "Created", "time"), Column("object", "Object"), Column("entity", "Entity"), Column("sent_by", "Sent by"),
        Column("rows", "Rows", "number"), Column("state", "State"), Column("changed_at", "Changed", "time"), Column("job_id", "Job"),
        Column("run_id", "Run", "run"),
    ),
    ("-created_at", "job_id"), ("object", "entity", "state"), "No job has been created yet.",
)  # fmt: skip

DIFFERENCES = Listing(
    "salesforce-differences", "Drift",
    "Records that users edited, deleted or merged in Salesforce, as the weekly drift check found them, and what happens to each.",
    "salesforce_difference",
    (
        Column("found_at", "Found", "time"), Column("object", "Object"), Column("kind", "Kind"), Column("name", "Name"),
        Column("fields", "Fields"), Column("outcome", "Outcome"), Column("salesforce_id", "Salesforce id"), Column("external_key", "Key"),
    ),
    ("-found_at", "object", "external_key"), ("object", "kind", "outcome"), "No difference was found so far. The DAG read_back_salesforce compares Salesforce weekly with the values that it accepted from us.",
    is_personal=True, template="salesforce_differences.html",
)  # fmt: skip

ADOPTION = Listing(
    "salesforce-adoption", "Adoption",
    "Records that Salesforce has from elsewhere, compared with ours. Before anything is created, our key is written onto those that are the same.",
    "salesforce_adoption_state",
    (
        Column("entity", "Entity"), Column("outcome", "Outcome"), Column("records", "Records", "number"), Column("approval", "Approval"),
        Column("approved_by", "Decided by"), Column("approved_at", "Decided", "time"),
    ),
    ("entity", "outcome"), ("entity",), "The org was not compared yet.", template="salesforce_adoption.html",
)  # fmt: skip

ADOPTION_RECORDS = Listing(
    "salesforce-adoption-records", "Records to adopt",
    "Each record of the org that lacks our key, and each of ours that the org lacks, with what it may be and what the first sync would change.",
    "salesforce_adoption",
    (
        Column("outcome", "Outcome"), Column("entity", "Entity"), Column("theirs", "In Salesforce"), Column("ours", "At the vendors"),
        Column("agreed", "Agree"), Column("differed", "Differ"), Column("next_step", "Proposal, or what the first sync changes"),
        Column("decided", "Decision"), Column("salesforce_id", "Salesforce id"), Column("external_key", "Our key"),
    ),
    ("outcome", "entity", "finding_id"), ("outcome", "entity", "decided"), "No record waits for adoption. If the page Adoption shows no comparison, start one: nothing has been compared yet.",
    is_personal=True, template="salesforce_adoption_records.html",
)  # fmt: skip

SALESFORCE_LISTS = (ADOPTION, ADOPTION_RECORDS, APPROVALS, HELD_BACK, JOBS, DIFFERENCES)
