"""The ledger stores the hash of each partition's manifest, so that a change is detected although it was made with the staging key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from include.errors import FatalError
from include.pipeline import vendor_day
from include.pipeline.replay import replay
from include.recovery import check
from include.staging.files import PartWriter
from include.staging.partitions import Partition
from include.warehouse import schema
from tests.conftest import Firm
from tests.firm_keys import KEYRING
from tests.retention.expired import insert_open_dead_letter

TABLES = ("accounts", "assets", "transactions")


def forge(firm: Firm, partition: Partition) -> None:
    """Remove a row from a partition: write its part and its manifest again, with the staging key."""
    _, rows = next(partition.rows())
    writer = PartWriter(partition.folder, rows.schema)
    writer.write(rows.slice(1))
    writer.flush()
    manifest = replace(partition.manifest, staged=rows.num_rows - 1, parts=tuple(writer.parts))
    firm.site.staging.seal(manifest)


@pytest.fixture
def firm(start_firm: Callable[..., Firm]) -> Firm:
    return start_firm(households=6)


def refusal_of(partition: Partition) -> str:
    return rf"not the one that was staged.*partition={partition.path}"


def test_a_load_records_the_manifest_and_so_does_the_audit_trail(firm: Firm) -> None:
    run = firm.new_run()
    partitions = firm.stage(run, "accounts")
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    firm.publish(run, partitions)
    hashes = firm.database.rows("select distinct manifest_hash from control.ledger")
    audited = firm.database.rows(
        "select distinct details ->> 'manifest_hash' as hash from control.audit where action = 'data.loaded'"
    )
    assert (
        [row["manifest_hash"] for row in hashes]
        == [row["hash"] for row in audited]
        == [partitions["accounts"].manifest_hash]
    )


@pytest.mark.parametrize("table", TABLES)
def test_a_partition_that_was_altered_with_its_manifest_is_not_loaded(firm: Firm, table: str) -> None:
    partition = firm.stage(firm.new_run(), *TABLES)[table]
    assert firm.site.open(partition.path).manifest.staged == partition.manifest.staged
    forge(firm, partition)
    assert firm.site.staging.open(partition.path).manifest.staged == partition.manifest.staged - 1
    with pytest.raises(FatalError, match=refusal_of(partition)):
        firm.site.open(partition.path)


def test_a_parent_that_was_altered_is_not_read(firm: Firm) -> None:
    run = firm.new_run()
    forge(firm, partition := firm.stage(run, "accounts")["accounts"])
    with pytest.raises(FatalError, match=refusal_of(partition)):
        firm.vendor_run(run).open_staged("accounts")


def test_a_replay_refuses_a_window_from_an_altered_manifest(firm: Firm) -> None:
    partition = firm.stage(firm.new_run(), "transactions")["transactions"]
    insert_open_dead_letter(firm.database, "orion", "transactions", partition.path)
    forge(firm, partition)
    with pytest.raises(FatalError, match=refusal_of(partition)):
        replay(firm.vendor_run(firm.new_run()), "transactions")


def test_the_next_day_is_not_compared_with_an_altered_one(firm: Firm) -> None:
    run = firm.new_run()
    partitions = firm.stage(run, *TABLES)
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    forge(firm, partitions["accounts"])
    with pytest.raises(FatalError, match=refusal_of(partitions["accounts"])):
        firm.site.open_validated([each.path for each in partitions.values()])


def test_a_restore_check_names_altered_partitions_and_no_removed_ones(firm: Firm) -> None:
    run = firm.new_run()
    partitions = firm.stage(run, "accounts", "assets", "clients", "registrations", "representatives")
    vendor_day.validate(firm.vendor_run(run), list(partitions.values()))
    firm.publish(run, partitions)
    forge(firm, partitions["accounts"])
    partitions["assets"].folder.write_raw("manifest.json", b"")
    removed = partitions["clients"].folder
    removed.fs.rm(removed.path, recursive=True)
    owner = schema.engine(firm.database.url("tributary_migrate"))
    fingerprint = dict(firm.database.value("select control.fingerprint()"))
    problems = [
        line for line in check.check(owner, KEYRING, fingerprint, firm.site.staging) if line.startswith("staging")
    ]
    owner.dispose()
    assert len(problems) == 2
    assert partitions["accounts"].path in problems[0]
    assert partitions["assets"].path in problems[1]


def test_a_partition_of_an_earlier_version_which_recorded_no_hash_is_opened(firm: Firm) -> None:
    partition = firm.stage(firm.new_run(), "accounts")["accounts"]
    firm.database.do("update control.ledger set manifest_hash = null")
    assert firm.site.open(partition.path).path == partition.path
