"""Expired partitions, documents and pages go; what is younger, needed or held stays; a killed disposal leaves nothing half readable."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from include.control import ledger
from include.control.ledger import Counts, Pull
from include.errors import FatalError, RetriableError
from include.pipeline import documents, vendor_day
from include.retention import disposal, pages, rows, staging
from include.retention.disposal import Places, dispose_expired
from include.retention.periods import read_periods
from include.staging.files import Folder
from include.staging.partitions import Partition, Staging
from include.validation import docs, site
from tests.conftest import Firm
from tests.firm_keys import KEYRING
from tests.retention.expired import insert_expired_delivery, insert_open_dead_letter

FAR = datetime(2099, 1, 1, tzinfo=UTC)
HASH = "ab" + "0" * 62


@pytest.fixture
def firm(start_firm: Callable[..., Firm]) -> Firm:
    return start_firm(households=3)


def stage_days(firm: Firm, days: int) -> list[Partition]:
    """Stage and load a small table on several runs of one day; return the partitions, oldest first."""
    return [firm.stage(firm.new_run(), "representatives")["representatives"] for _ in range(days)]


def list_paths(store: Staging) -> set[str]:
    return {each.path for each in staging.list_pulls(store)}


def test_expired_partitions_go_and_the_needed_ones_stay(firm: Firm) -> None:
    loaded = firm.new_run()
    partitions = firm.stage(loaded, "representatives")
    vendor_day.validate(firm.vendor_run(loaded), list(partitions.values()))
    firm.publish(loaded, partitions)
    needed, expired = stage_days(firm, 2)
    insert_open_dead_letter(firm.database, "orion", "representatives", needed.path)
    store = firm.site.staging
    before = list_paths(store)
    assert staging.expire_partitions(store, firm.engine, FAR, is_dry=True).count == 1
    assert list_paths(store) == before
    assert staging.expire_partitions(store, firm.engine, FAR, is_dry=False).count == 1
    assert list_paths(store) == before - {expired.path}
    assert not (firm.folder / "staging" / expired.path).exists()
    assert staging.expire_partitions(store, firm.engine, FAR, is_dry=False).count == 0


def test_a_pushed_partition_goes(firm: Firm) -> None:
    store = firm.site.staging
    store.folder("orion/clients/2020-01-01/20200101T000000-0a1b2c3d-push17").write("manifest.json", b"{}")
    assert staging.expire_partitions(store, firm.engine, FAR, is_dry=False).count == 1
    assert list_paths(store) == set()


def test_a_partition_stays_if_it_was_loaded_through_another_table(engine: sa.Engine) -> None:
    store = Staging("memory://loaded-through-another", KEYRING.staging)
    for table, stage in (("client_phones", "stage"), ("clients", "load")):
        pull = Pull("r", "orion", table, date(2020, 1, 1), "20200101T000000-aa", "current", FAR)
        with engine.begin() as connection:
            ledger.record(connection, pull, stage, Counts(), "person" if stage == "load" else "")
    store.folder("orion/client_phones/2020-01-01/20200101T000000-aa").write("manifest.json", b"{}")
    assert staging.expire_partitions(store, engine, FAR, is_dry=True).count == 0


def test_a_partition_is_as_old_as_its_pull_not_as_its_business_date(firm: Firm) -> None:
    stage_days(firm, 1)
    [pull] = staging.list_pulls(firm.site.staging)
    assert abs(pull.pulled_at - firm.clock()) < timedelta(minutes=5)
    assert staging.expire_partitions(firm.site.staging, firm.engine, pull.pulled_at, is_dry=True).count == 0


def test_a_killed_disposal_leaves_an_unreadable_pull_which_the_next_one_deletes(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    [partition] = stage_days(firm, 1)
    store = firm.site.staging

    def die(_: Folder) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Folder, "remove", die)
        with pytest.raises(KeyboardInterrupt):
            staging.expire_partitions(store, firm.engine, FAR, is_dry=False)
    assert list_paths(store) == {partition.path}
    with pytest.raises(FatalError, match="incomplete"):
        store.open(partition.path)
    assert staging.expire_incomplete(store, FAR, is_dry=False).count == 1
    assert list_paths(store) == set()


def test_a_pull_under_way_stays(firm: Firm) -> None:
    [partition] = stage_days(firm, 1)
    partition.folder.delete(staging.MANIFEST)
    assert staging.expire_incomplete(firm.site.staging, firm.clock() - timedelta(days=1), is_dry=False).count == 0
    assert list_paths(firm.site.staging) == {partition.path}


def insert_document(firm: Firm, key: str, content_hash: str, until: str = "current_date - 5", held: str | None = None) -> None:  # fmt: skip
    firm.database.do(
        "insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until, held_for)"
        f" values ('docusign', :key, 'signed', :hash, 5, {until}, :held)", key=key, hash=content_hash, held=held
    )  # fmt: skip


def test_the_file_of_a_document_goes_with_its_last_row(firm: Firm) -> None:
    store = firm.site.staging
    shared, own, held, orphan = (documents.write(store, b"%PDF-" + name) for name in (b"shared", b"own", b"held", b"orphan"))  # fmt: skip
    insert_document(firm, "e1", shared)
    insert_document(firm, "e2", shared, until="current_date + 5")
    insert_document(firm, "e3", own)
    insert_document(firm, "e4", held, held="a dispute")
    rows.dispose(firm.engine, "r1", "control.document", "0 days")
    assert staging.expire_documents(store, firm.engine, FAR, is_dry=False).count == 2
    assert documents.read(store, shared) == b"%PDF-shared"
    assert documents.read(store, held) == b"%PDF-held"
    for content_hash in (own, orphan):
        with pytest.raises(FileNotFoundError):
            documents.read(store, content_hash)


def test_a_young_file_without_a_row_may_be_a_running_download(firm: Firm) -> None:
    young = documents.write(firm.site.staging, b"%PDF-young")
    before = datetime.now(UTC) - timedelta(days=1)
    assert staging.expire_documents(firm.site.staging, firm.engine, before, is_dry=False).count == 0
    assert documents.read(firm.site.staging, young)


def test_a_disposed_document_is_never_held(firm: Firm) -> None:
    insert_document(firm, "e1", HASH)
    rows.dispose(firm.engine, "r1", "control.document", "0 days")
    assert documents.hold(firm.engine, "docusign", "e1", "counsel", "a dispute") == 0


@pytest.mark.parametrize("place", ["pages/salesforce_changes", "logs/dag_id=orion/run_id=r"])
def test_expired_files_of_a_folder_go_and_young_ones_stay(firm: Firm, place: str) -> None:
    for name, days in (("old", 400), ("young", 300)):
        firm.site.staging.folder(place).write(name, b"content")
        set_age(firm, f"{place}/{name}", days)
    before = datetime.now(UTC) - timedelta(days=365)
    root = place.partition("/")[0]
    assert staging.expire_written(firm.site.staging, root, before, is_dry=True).count == 1
    assert staging.expire_written(firm.site.staging, root, before, is_dry=False).count == 1
    assert [path.rpartition("/")[2] for path, _ in firm.site.staging.list_files(root)] == ["young"]


def test_expired_reports_leave_the_site_at_once_and_young_ones_stay(firm: Firm) -> None:
    store = firm.site.staging
    for run in ("old", "young"):
        partitions = list(firm.stage(new := firm.new_run()).values())
        vendor_day.validate(firm.vendor_run(new), partitions)
        docs.build(store, firm.engine, partitions[:1], run)
    old, young = (
        next(each for each in site.read_site(store).results if each.run_name == run) for run in ("old", "young")
    )
    set_age(firm, f"{site.PLACE}/{old.file}", 400)
    before = datetime.now(UTC) - timedelta(days=365)
    assert pages.expire_reports(store, firm.engine, before, is_dry=True).count == 1
    assert old.path in site.read_site(store).files
    assert pages.expire_reports(store, firm.engine, before, is_dry=False).count == 1
    assert list(site.read_site(store).results) == [young]
    assert not store.folder(site.PLACE).has(old.file)
    assert 'id="old"' not in site.read_page(store, "index.html").decode()


def set_age(firm: Firm, path: str, days: float) -> None:
    os.utime(firm.folder / "staging" / path, (time.time() - days * 86_400,) * 2)


def test_a_dataset_that_fails_stops_no_other_and_fails_the_run_at_its_end(firm: Firm) -> None:
    stage_days(firm, 1)
    insert_expired_delivery(firm.database)
    firm.database.do("update control.retention set aged_by = 'no_such_column' where dataset = 'control.alert'")
    places = Places(firm.engine, firm.site.staging, clock=lambda: FAR)
    with pytest.raises(FatalError, match=r"1 datasets were not disposed of completely: control\.alert"):
        dispose_expired(places, "r1", read_periods({}), is_dry=False)
    assert firm.database.value("select count(*) from control.inbox") == 0
    assert list_paths(firm.site.staging) == set()
    entries = firm.database.rows(
        "select action, subject, details ->> 'step' as step from control.audit where action like '%.disposed' order by action, entry_id"
    )
    assert [tuple(row.values()) for row in entries] == [
        ("data.disposed", "control.inbox", None),
        ("files.disposed", "staging: partitions", "due"),
        ("files.disposed", "staging: partitions", "deleted"),
    ]


def test_a_passing_failure_is_retried() -> None:
    with pytest.raises(RetriableError, match="control"):
        disposal._raise({"control.alert": RetriableError("busy")})


def test_a_dry_run_shows_what_would_go_and_changes_nothing(firm: Firm, caplog: pytest.LogCaptureFixture) -> None:
    stage_days(firm, 2)
    insert_expired_delivery(firm.database)
    places = Places(firm.engine, firm.site.staging, clock=lambda: FAR)
    with caplog.at_level("INFO"):
        results = dispose_expired(places, "r1", read_periods({}), is_dry=True)
    assert {name: each.count for name, each in results.items() if each.count} == {
        "control.inbox": 1,
        "staging: partitions": 2,
    }
    assert "Dry run, nothing was disposed of" in caplog.text
    assert "control.inbox: 1 rows or files" in caplog.text
    assert "2026-01-01 to 2026-01-01" in caplog.text
    assert len(list_paths(firm.site.staging)) == 2
    assert firm.database.value("select count(*) from control.audit where action like '%.disposed'") == 0


def test_what_a_firm_keeps_for_ever_is_not_disposed_of(firm: Firm) -> None:
    stage_days(firm, 1)
    places = Places(firm.engine, firm.site.staging, clock=lambda: FAR)
    periods = read_periods({"staging: partitions": "for ever"})
    assert "staging: partitions" not in dispose_expired(places, "r1", periods, is_dry=False)
    assert len(list_paths(firm.site.staging)) == 1


def test_an_object_store_without_folders_is_disposed_of_likewise() -> None:
    store = Staging("memory://retention-test", KEYRING.staging)
    for pull_id in ("20200101T000000-aa", "20990101T000000-bb"):
        store.folder(f"orion/clients/2020-01-01/{pull_id}").write("dead.jsonl", b"")
        store.folder(f"orion/clients/2020-01-01/{pull_id}/canonical/person").write("manifest.json", b"{}")
    assert staging.expire_incomplete(store, datetime(2021, 1, 1, tzinfo=UTC), is_dry=False).count == 1
    assert list_paths(store) == {"orion/clients/2020-01-01/20990101T000000-bb"}
    content_hash = documents.write(store, b"%PDF-a")
    assert [path for path, _ in store.list_files("documents")] == [f"{content_hash[:2]}/{content_hash}.pdf"]
    assert store.list_folders("nowhere") == []
    assert list(store.list_files("nowhere")) == []
