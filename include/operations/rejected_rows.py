"""The list of rejected rows by check, to which the pages of data quality lead."""

from __future__ import annotations

from include.operations.listing import Column, Listing

REJECTED_ROWS = Listing(
    "rejected-rows", "Rejected rows by check", "One line per rejected row and check: a row that two checks rejected has two lines.",
    "dead_letter_reason",
    (
        Column("dead_letter_id", "Id", "number"), Column("vendor", "Vendor"), Column("table_name", "Table"),
        Column("business_date", "Business date", "date"), Column("stage", "Step"), Column("reason", "Check"), Column("row_key", "Row"),
        Column("describes", "May describe"), Column("money_usd", "Money", "money"), Column("status", "Status"), Column("run_id", "Run", "run"),
        Column("died_at", "Since", "time"),
    ),
    ("-dead_letter_id", "reason"), ("vendor", "table_name", "business_date", "stage", "reason", "status"),
    "No rejected row matches.", is_personal=True, has_lineage=True,
)  # fmt: skip
