"""Rows whose retention period ended, or that a disposal must leave because a dead letter needs them."""

from __future__ import annotations

from tests.conftest import Database


def insert_expired_delivery(database: Database) -> None:
    """Insert a processed delivery that is older than its period."""
    database.do(
        "insert into control.inbox (sender, body, content_hash, headers, processed_at) values ('docusign', '', 'h', '{}', '2026-01-01')"
    )


def insert_open_dead_letter(database: Database, vendor: str, table: str, partition: str) -> None:
    """Insert an open dead letter whose content is in a partition."""
    database.do(
        "insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number)"
        " values ('r', :vendor, :table, '2026-11-20', 'stage', '1', '{x}', :partition, 'dead.jsonl', 0)",
        vendor=vendor, table=table, partition=partition,
    )  # fmt: skip
