"""A partition exists once its manifest does, returns the same rows again, and detects changes; on disk or S3."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem
from moto.server import ThreadedMotoServer

from include.contract import INTEGER, MONEY, STRING, Basic, Budget, Table, Vendor, column, sensitive
from include.errors import (
    ConfigurationError,
    FatalError,
    SchemaDrift,
    TargetUnavailable,
    TributaryError,
    VendorUnavailable,
)
from include.extract.page import PageReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.keys.keyring import Keyring
from include.sensitive import Redactor
from include.staging import files as staging_module
from include.staging.files import PartWriter, total
from include.staging.partitions import FAULTS, Manifest, Partition, Staging
from tests.firm_keys import KEYRING, write_keyring
from tests.object_store import start_seaweedfs

TABLE = Table(
    name="rows",
    path="Some/Rows",
    key=("row_id",),
    money="amount_usd",
    columns=(
        column("row_id", "id", INTEGER, required=True),
        column("amount_usd", "amount", MONEY),
        column("name", "name", STRING),
        sensitive("tax_id", "ssn"),
    ),
)
VENDOR = Vendor("testbank", "Testbank", "", Basic(), (TABLE,), (), "0 6 * * *", Budget(60))
SPAN = Span(date(2026, 11, 20))
STARTED = datetime(2026, 11, 20, 23, tzinfo=UTC)
SSN = "123-45-6789"


def start_s3() -> tuple[ThreadedMotoServer, dict[str, Any]]:
    """Start a local in-memory object store with one empty bucket, `staging`; yield its options."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ThreadedMotoServer("127.0.0.1", port)
    server.start()
    url = f"http://127.0.0.1:{port}"
    boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="only", aws_secret_access_key="tests"
    ).create_bucket(Bucket="staging")
    options = {"endpoint_url": url, "key": "only", "secret": "tests", "client_kwargs": {"region_name": "us-east-1"}}
    return server, {**options, "skip_instance_cache": True, "use_listings_cache": False}


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, Any]]:
    server, options = start_s3()
    yield options
    server.stop()


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with start_seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as options:
        yield options


@pytest.fixture(params=["disk", "s3", "seaweedfs"])
def staging(request: pytest.FixtureRequest, tmp_path: Path) -> Staging:
    if request.param == "disk":
        return Staging(str(tmp_path / "staging"), KEYRING.staging)
    return Staging(f"s3://staging/{tmp_path.name}", KEYRING.staging, request.getfixturevalue(request.param))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging_module, "ROWS_A_PART", 25)


def new_windows(reader: PageReader, pages: int, rows: int = 10) -> Iterator[Window]:
    """Yield pages of rows; every seventh row is unreadable."""
    for page in range(pages):
        cells = []
        for n in range(page * rows, (page + 1) * rows):
            amount = '"N/A"' if n % 7 == 6 else f"{n}.10"
            cells.append(f'{{"id":{n},"amount":{amount},"name":"row {n}","ssn":"{SSN}"}}')
        yield Window(reader.read(f"[{','.join(cells)}]".encode()), rows, 0)


def stage_pages(staging: Staging, pages: int) -> Partition:
    reader = PageReader(TABLE, Redactor(b"only for tests"))
    return stage(VENDOR, TABLE, SPAN, new_windows(reader, pages), reader, staging, STARTED)


def test_long_pull_is_staged_in_parts_and_gives_its_rows_in_order(staging: Staging, small_parts: None) -> None:
    partition = stage_pages(staging, 12)
    manifest = partition.manifest
    parts = list(partition.rows())
    alive = [n for n in range(120) if n % 7 != 6]
    assert len(parts) == len(manifest.parts) > 3
    assert [rows.num_rows for _, rows in parts] == [part.rows for part in manifest.parts]
    assert pa.concat_tables([rows for _, rows in parts]).column("row_id").to_pylist() == alive
    assert (manifest.fetched, manifest.staged, manifest.dead, manifest.duplicate) == (120, len(alive), 17, 0)
    assert manifest.money == sum((Decimal(n) + Decimal("0.10") for n in alive), Decimal(0))


def test_same_partition_gives_the_same_rows(staging: Staging, small_parts: None) -> None:
    partition = stage_pages(staging, 6)
    assert list(partition.rows()) == list(partition.rows())
    [name, first], *_ = partition.rows(["amount_usd", "row_id"])
    assert (name, first.column_names) == ("part-00000.parquet", ["amount_usd", "row_id"])


def test_partition_from_before_the_form_of_a_tax_id_was_staged_has_null_forms(staging: Staging) -> None:
    partition = stage_pages(staging, 1)
    [(_, rows), (_, again)] = [*partition.rows(["tax_id_form", "row_id"]), *partition.rows(["tax_id_form", "row_id"])]
    assert rows.column_names == again.column_names == ["tax_id_form", "row_id"]
    assert rows.column("tax_id_form").null_count == rows.num_rows > 0


def test_manifest_records_the_request_and_its_contract(staging: Staging) -> None:
    manifest = staging.open(stage_pages(staging, 1).path).manifest
    assert (manifest.vendor, manifest.table, manifest.business_date) == ("testbank", "rows", SPAN.business_date)
    assert (manifest.contract, manifest.api_version, manifest.pulled) == (TABLE.staged_hash, "v1", "current")
    assert (manifest.extracted_at, manifest.window, manifest.undeclared) == (STARTED, None, ())


def test_two_pulls_of_a_day_have_folders_of_their_own(staging: Staging) -> None:
    assert stage_pages(staging, 1).path != stage_pages(staging, 1).path


def test_pull_that_ends_before_its_manifest_does_not_exist(
    staging: Staging, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []

    def end(self: Staging, manifest: Manifest) -> None:
        ended.append(manifest.path)
        raise KeyboardInterrupt

    monkeypatch.setattr(Staging, "seal", end)
    with pytest.raises(KeyboardInterrupt):
        stage_pages(staging, 6)
    assert staging.folder(ended[0]).has("part-00000.parquet")
    assert staging.folder(ended[0]).has("dead.jsonl")
    with pytest.raises(FatalError, match="incomplete: pull it again"):
        staging.open(ended[0])


def test_pull_that_fails_between_two_pages_leaves_no_manifest(staging: Staging, small_parts: None) -> None:
    reader = PageReader(TABLE, Redactor(b"only for tests"))

    def windows() -> Iterator[Window]:
        yield from new_windows(reader, 6)
        raise VendorUnavailable("gone")

    with pytest.raises(VendorUnavailable):
        stage(VENDOR, TABLE, SPAN, windows(), reader, staging, STARTED)
    paths = staging._fs.find(staging._root)
    assert [name for name in paths if name.endswith(".parquet")]
    assert not [name for name in paths if name.endswith("manifest.json")]


@pytest.mark.parametrize("cut", [0, 20, -1])
def test_half_a_manifest_is_none(staging: Staging, cut: int) -> None:
    partition = stage_pages(staging, 1)
    folder = partition.folder
    folder.write("manifest.json", folder.read("manifest.json")[:cut])
    with pytest.raises(FatalError, match="incomplete"):
        staging.open(partition.path)


def test_altered_part_is_reported(staging: Staging, small_parts: None) -> None:
    partition = stage_pages(staging, 6)
    folder = partition.folder
    folder.write_raw("part-00001.parquet", folder.read_raw("part-00000.parquet"))
    rows = partition.rows()
    next(rows)
    with pytest.raises(FatalError, match=r"altered after it was written.*part-00001\.parquet"):
        next(rows)


def test_part_that_went_away_is_an_error(staging: Staging) -> None:
    partition = stage_pages(staging, 1)
    staging._fs.rm(f"{partition.folder.path}/part-00000.parquet")
    with pytest.raises(FatalError, match=r"missing: pull the partition again.*part-00000\.parquet"):
        list(partition.rows())


def test_bucket_that_does_not_exist_is_a_configuration_error_and_is_not_made(s3: dict[str, Any]) -> None:
    elsewhere = Staging("s3://no-such-bucket/staging", KEYRING.staging, s3)
    with pytest.raises(ConfigurationError, match=r"NoSuchBucket.*no-such-bucket/staging"):
        stage_pages(elsewhere, 1)
    with pytest.raises(ConfigurationError, match="NoSuchBucket"):
        elsewhere.open("testbank/rows/2026-11-20/1")
    assert not elsewhere._fs.exists("no-such-bucket")


@pytest.mark.parametrize("wrong", [{"secret": "wrong"}, {"key": None, "secret": None, "anon": True}])
def test_object_store_refuses_a_caller_without_its_key(seaweedfs: dict[str, Any], wrong: dict[str, Any]) -> None:
    root = "s3://staging/refused"
    partition = stage_pages(Staging(root, KEYRING.staging, seaweedfs), 1)
    with pytest.raises(ConfigurationError, match="PermissionError"):
        Staging(root, KEYRING.staging, {**seaweedfs, **wrong}).open(partition.path)


def test_unresponsive_object_store_is_tried_again_later() -> None:
    server, options = start_s3()
    staging = Staging("s3://staging", KEYRING.staging, {**options, "config_kwargs": {"retries": {"max_attempts": 0}}})
    partition = stage_pages(staging, 1)
    server.stop()
    for reach in (
        lambda: stage_pages(staging, 1),
        lambda: list(partition.rows()),
        lambda: staging.folder("x").has("y"),
    ):
        with pytest.raises(TargetUnavailable, match=r"EndpointConnectionError.*path=staging/"):
            reach()


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, TargetUnavailable),
        (errno.EIO, TargetUnavailable),
        (errno.EACCES, ConfigurationError),
        (errno.ENOTDIR, ConfigurationError),
    ],
)
def test_disk_error_is_reported_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[TributaryError]
) -> None:
    """Root may write anywhere and tests may run as root, so the file system's own error is raised artificially."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path))

    monkeypatch.setattr(LocalFileSystem, "pipe_file", refuse)
    with pytest.raises(error, match=f"[Ss]taging .*path={tmp_path}"):
        stage_pages(Staging(str(tmp_path), KEYRING.staging), 1)


def test_root_that_is_a_file_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "staging").write_text("in the way")
    with pytest.raises(ConfigurationError, match="Access to staging failed"):
        stage_pages(Staging(str(tmp_path / "staging"), KEYRING.staging), 1)


def test_no_file_of_a_partition_holds_a_clear_sensitive_value(staging: Staging, small_parts: None) -> None:
    partition = stage_pages(staging, 6)
    names = [name.rsplit("/", 1)[1] for name in staging._fs.find(partition.folder.path)]
    contents = [partition.folder.read(name) for name in names if not name.endswith(".parquet")]
    contents += [str(rows.to_pydict()).encode() for _, rows in partition.rows()]
    assert len(contents) == len(names) > 3
    for content in contents:
        assert SSN.encode() not in content
        assert b"123456789" not in content


def test_every_stored_file_is_encrypted(staging: Staging, small_parts: None) -> None:
    partition = stage_pages(staging, 6)
    partition.write_faults(pa.Table.from_pylist([], schema=FAULTS))
    stored = {name: staging._fs.cat_file(name) for name in staging._fs.find(partition.folder.path)}
    assert {content[:4] for content in stored.values()} == {b"TRB1", b"PARE"}
    words = [
        b"PAR1",
        b"row_id",
        b"amount",
        b"testbank",
        b"dead",
        *(each.key.encode() for each in partition.manifest.parts),
    ]
    assert [(name, word) for name, content in stored.items() for word in words if word in content] == []


def test_another_staging_key_opens_nothing(staging: Staging) -> None:
    partition = stage_pages(staging, 1)
    staging._sealer = Keyring.parse(write_keyring("another")).staging
    with pytest.raises(FatalError, match=r"altered or moved.*manifest\.json"):
        staging.open(partition.path)
    staging._sealer = Keyring.parse(write_keyring(key_id="another")).staging
    with pytest.raises(ConfigurationError, match=r"not in the keyring.*manifest\.json"):
        staging.open(partition.path)


def test_file_that_takes_another_ones_place_is_refused(staging: Staging) -> None:
    one, another = stage_pages(staging, 1), stage_pages(staging, 2)
    for name in ("manifest.json", "dead.jsonl"):
        one.folder.write_raw(name, another.folder.read_raw(name))
    with pytest.raises(FatalError, match="altered or moved"):
        staging.open(one.path)
    with pytest.raises(FatalError, match="altered or moved"):
        one.read_dead_lines()


def test_manifest_of_another_partition_is_refused_although_it_is_encrypted_for_this_place(staging: Staging) -> None:
    one, another = stage_pages(staging, 1), stage_pages(staging, 2)
    one.folder.write("manifest.json", another.folder.read("manifest.json"))
    with pytest.raises(FatalError, match="another partition's"):
        staging.open(one.path)


def test_hash_of_a_manifest_is_the_same_when_the_partition_is_opened(staging: Staging) -> None:
    partition = stage_pages(staging, 1)
    assert staging.open(partition.path).manifest_hash == partition.manifest_hash


def test_part_altered_together_with_its_checksum_is_refused(staging: Staging) -> None:
    """As by someone who can write files and knows how a manifest looks, but has no key."""
    partition = stage_pages(staging, 1)
    [part] = partition.manifest.parts
    buffer = io.BytesIO()
    pq.write_table(next(partition.rows())[1].slice(1), buffer)
    partition.folder.write_raw(part.name, buffer.getvalue())
    forged = replace(partition.manifest, parts=(replace(part, sha256=hashlib.sha256(buffer.getvalue()).hexdigest()),))
    partition.folder.write_raw("manifest.json", json.dumps(asdict(forged), default=str).encode())
    with pytest.raises(FatalError, match="altered or moved, or was not encrypted"):
        staging.open(partition.path)
    with pytest.raises(FatalError, match="altered after it was written"):
        list(Partition(partition.folder, forged, "").rows())


def test_empty_response_is_a_partition_without_parts(staging: Staging) -> None:
    partition = stage_pages(staging, 0)
    assert partition.manifest.parts == ()
    assert list(partition.rows()) == []


def test_field_that_no_row_has_any_more_stops_the_pull(staging: Staging) -> None:
    reader = PageReader(TABLE, Redactor(b"only for tests"))
    windows = iter([Window(reader.read(b'[{"id":1,"amount":1,"name":"x"}]'), 1, 0)])
    with pytest.raises(SchemaDrift, match="vendor=testbank table=rows fields=ssn"):
        stage(VENDOR, TABLE, SPAN, windows, reader, staging, STARTED)


def test_rows_without_key_are_each_a_dead_letter_and_once_where_pages_overlap(staging: Staging) -> None:
    reader = PageReader(TABLE, Redactor(b"only for tests"))
    rows = [
        '{"id":"N/A","amount":1,"name":"a","ssn":null}',
        '{"id":"N/A","amount":2,"name":"b","ssn":null}',
        "17",
        "18",
    ]
    first, second = (reader.read(f"[{','.join(texts)}]".encode()) for texts in (rows, rows[1:2]))
    partition = stage(VENDOR, TABLE, SPAN, iter([Window(first, 4, 0), Window(second, 1, 0)]), reader, staging, STARTED)
    manifest = partition.manifest
    assert (manifest.fetched, manifest.staged, manifest.duplicate, manifest.dead) == (5, 0, 1, 4)
    assert len(partition.folder.read("dead.jsonl").splitlines()) == 4


def test_writer_holds_rows_back_until_a_part_is_full(staging: Staging, small_parts: None) -> None:
    schema = pa.schema([("n", pa.int64())])
    writer = PartWriter(staging.folder("here"), schema)
    for start in range(0, 70, 10):
        writer.write(pa.table({"n": pa.array(range(start, start + 10))}))
    assert [part.rows for part in writer.parts] == [30], "the second part is being written"
    writer.flush()
    writer.flush()
    assert [part.rows for part in writer.parts] == [30, 30, 10]
    assert [rows["n"].to_pylist()[0] for _, rows in writer.read()] == [0, 30, 60]


def test_part_that_can_not_be_written_fails_the_flush(tmp_path: Path, small_parts: None) -> None:
    folder = Staging(str(tmp_path), KEYRING.staging).folder("here")
    writer = PartWriter(folder, pa.schema([("n", pa.int64())]))
    tmp_path.joinpath("here").write_text("a file where the folder should be")
    writer.write(pa.table({"n": pa.array(range(30))}))
    with pytest.raises((ConfigurationError, TargetUnavailable)):
        writer.flush()
    assert writer.parts == []


def test_total_is_exact_and_nulls_are_nothing() -> None:
    money = pa.array([Decimal("999999999999999999.99"), None, Decimal("0.01")], pa.decimal128(20, 2))
    assert total(pa.table({"m": money}), "m") == Decimal("1000000000000000000.00")
    assert total(pa.table({"m": money.slice(1, 1)}), "m") == 0
