"""Orion's own code: its words are mapped to ours, and its suite has the same words."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from include.extract.page import PageReader
from include.extract.paging import Window
from include.extract.pull import Span, stage
from include.sensitive import Redactor
from include.staging.partitions import Staging
from include.validation.check import validate_day
from include.validation.suite import read_suite
from include.vendors.orion import ORION
from include.vendors.orion.positions import DIRECTIONS, FLOWS, STATUSES, apply_sign, flow, status
from sandbox.firm import holdings
from tests.conftest import Firm
from tests.firm_keys import KEYRING
from tests.running_sandbox import LAST
from tests.vendors.conftest import Run
from tests.vendors.golden_day import change_response, goldens


def values_of(column: str) -> list[str]:
    """Return the values that the suite of the transactions allows in a column."""
    [expectation] = [
        e
        for e in read_suite(ORION.name, "transactions")
        if e.type == "expect_column_values_to_be_in_set" and e.column == column
    ]
    assert expectation.level == "row"
    values: list[str] = expectation.kwargs["value_set"]
    return values


@pytest.mark.parametrize(("column", "ours"), [("status", STATUSES), ("type_code", DIRECTIONS)])
def test_suite_and_vendor_file_have_the_same_values(column: str, ours: dict[str, object]) -> None:
    assert sorted(values_of(column)) == sorted(ours)


def test_sandbox_emits_known_values_only() -> None:
    kinds = [kind for kind in vars(holdings).values() if isinstance(kind, holdings.Kind)]
    assert {kind.code: kind.sign for kind in kinds} == DIRECTIONS
    assert {kind.financial_type for kind in kinds} <= {*FLOWS, "Other"}
    statuses = {holdings.COMPLETE, holdings.PENDING, holdings.REVERSED, holdings.REJECTED, holdings.INACTIVE}
    assert statuses <= set(STATUSES)


def test_row_with_an_unknown_status_or_code_is_a_dead_letter_that_names_the_expectation(tmp_path: Path) -> None:
    row = json.loads((Path(__file__).parent / ORION.name / "transactions.json").read_text())[1]
    rows = [row, row | {"id": row["id"] + 1, "status": "Settled"}, row | {"id": row["id"] + 2, "typeCode": "XYZ"}]
    table, staging = ORION.table("transactions"), Staging(str(tmp_path), KEYRING.staging)
    reader = PageReader(table, Redactor(b"only for tests"), ORION.sentinels, ORION.zone)
    window = Window(reader.read(json.dumps(rows).encode()), len(rows), 0)
    now = datetime(2026, 11, 21, tzinfo=UTC)
    partition = stage(ORION, table, Span(date(2026, 11, 20)), iter([window]), reader, staging, now)
    validate_day(ORION, {table.name: partition}, {}, rows_only=True)
    assert {fault["row_key"]: fault["expectations"] for fault in partition.faults.to_pylist()} == {
        str(row["id"] + 1): ["expect_column_values_to_be_in_set(status)"],
        str(row["id"] + 2): ["expect_column_values_to_be_in_set(type_code)"],
    }


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Contribution", "contribution"), ("Distribution", "distribution"), ("MgmntFees", "fee"), ("MiscFees", "fee"),
        ("DivCash", "income"), ("DivReinvest", "income"), ("Journal", "transfer"), ("Exchange", "other"),
        ("Merges", "other"), ("Other", "other"), ("of no document", "other"), ("None", None), (None, None),
    ],
)  # fmt: skip
def test_financial_type_becomes_our_flow(theirs: str | None, ours: str | None) -> None:
    assert flow(pa.array([theirs], pa.string())).to_pylist() == [ours]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Complete", "posted"), ("Pending", "pending"), ("PendingCorpAction", "pending"), ("FutureAip", "pending"),
        ("Reversed", "reversed"), ("Inactive", "cancelled"), ("Rejected", "cancelled"),
    ],
)  # fmt: skip
def test_status_becomes_ours(theirs: str, ours: str) -> None:
    assert status(pa.array([theirs])).to_pylist() == [ours]


def test_direction_follows_from_the_code() -> None:
    codes: Any = list(DIRECTIONS)
    assert apply_sign(pa.array([5] * len(codes)), pa.array(codes)).to_pylist() == [
        5 * DIRECTIONS[code] for code in codes
    ]


GOLDEN = goldens(ORION)
OFFICE = ("representatives", "clients", "registrations", "accounts")


@pytest.fixture
def owners(run: Run) -> Callable[..., list[tuple[str, str, str, Decimal]]]:
    """Finds the owners of the first account, given the other registrations of its household (changes of the first)."""

    def find(title: str, kind: str, *others: dict[str, Any]) -> list[tuple[str, str, str, Decimal]]:
        def change(rows: Any) -> None:
            first = rows[0] | {"name": title, "accountType": kind, "typeCode": None}
            rows[:] = [
                first,
                *(first | {"name": "x", "accountType": "IRA", "id": 30001 + n} | o for n, o in enumerate(others)),
            ]

        day = run(ORION, change_response(GOLDEN, "registrations", change), *OFFICE)
        owners = day.read_canonical("accounts", "account_owner")
        return [
            (row["account_owner_key"], row["person_key"], row["role"], row["share_ratio"])
            for row in owners
            if row["account_key"] == "300001"
        ]

    return find


PRIMARY = ("300001:1001", "20001", "primary", Decimal(1))
ADA = {"firstName": "Ada", "lastName": "Example", "ssN_TaxID": "900-00-0001", "dob": "1970-01-01T00:00:00-06:00"}


@pytest.mark.parametrize("kind", ["Joint Tenants WROS", "JTWROS", "Tenants in Common", "Community Property"])
@pytest.mark.parametrize(
    "title",
    ["Gus Example & Ada Example", "Ada  example and Gus Example", "Gus & Ada Example", "Gus T. & Ada B. Example"],
)
def test_the_other_person_of_a_joint_title_owns_jointly(owners: Callable[..., Any], title: str, kind: str) -> None:
    assert owners(title, kind, ADA, ADA) == [PRIMARY, ("300001:joint:30001", "30001", "joint", Decimal(0))]


@pytest.mark.parametrize(
    ("title", "kind", "others"),
    [
        ("Gus Example & Ada Example", "Joint", []),
        ("Gus Example & Ada Example", "Joint", [ADA | {"clientId": 1002}]),
        ("Gus Example & Ada Example", "Joint", [ADA, ADA | {"ssN_TaxID": "900-00-0002"}]),
        ("Gus Example & Ada Example", "Joint", [ADA, ADA | {"dob": "1999-01-01T00:00:00-06:00"}]),
        ("Gus Example & Ada B. Example", "Joint", [ADA | {"firstName": "Ada C."}]),
        ("Bo Example & Ada Example", "Joint", [ADA, ADA | {"firstName": "Bo"}]),
        ("Gus Example", "Joint", [ADA]),
        ("Example Joint & Several", "Joint", [ADA]),
    ],
    ids=[
        "unknown person",
        "of another home",
        "two of one name",
        "two births",
        "another initial",
        "names two others",
        "one name",
        "no people",
    ],
)
def test_joint_ownership_is_not_guessed(owners: Callable[..., Any], title: str, kind: str, others: list[Any]) -> None:
    assert owners(title, kind, *others) == [PRIMARY]


@pytest.fixture
def registered(run: Run) -> Callable[..., Any]:
    """Reads an entity of the registrations, given their titles and types; all are registrations of one home in Gus Example's name."""

    def read(entity: str, *titles: tuple[str, str]) -> list[dict[str, Any]]:
        def change(rows: Any) -> None:
            rows[:] = [
                rows[0] | {"id": 30001 + n, "name": title, "accountType": kind}
                for n, (title, kind) in enumerate(titles)
            ]

        return run(ORION, change_response(GOLDEN, "registrations", change), *OFFICE).read_canonical(
            "registrations", entity
        )

    return read


TITLES = (
    ("Gus Example", "Individual"),
    ("Gus Example", "Traditional IRA"),
    ("The Gus Example Trust", "Revocable Trust"),
    ("Example Holdings LLC", "LLC"),
    ("Example Family Foundation", "Foundation"),
)


def test_registration_is_a_person_s_or_a_legal_entity_s(registered: Callable[..., Any]) -> None:
    assert [row["person_key"] for row in registered("person", *TITLES)] == ["30001", "30002"]
    entities = [(row["legal_entity_key"], row["entity_kind"]) for row in registered("legal_entity", *TITLES)]
    assert entities == [("30003", "trust"), ("30004", "company"), ("30005", "foundation")]


def test_legal_entity_is_the_owner_of_its_registration_and_its_grantor_a_person(registered: Callable[..., Any]) -> None:
    parties = [row for row in registered("registration_party", *TITLES) if row["registration_key"] == "30003"]
    assert [(row["role"], row["person_key"], row["legal_entity_key"]) for row in parties] == [
        ("owner", None, "30003"),
        ("grantor", "30001", None),
    ]


def test_account_of_a_trust_is_owned_by_the_trust(run: Run) -> None:
    def change(rows: Any) -> None:
        rows[0] |= {"name": "The Gus Example Trust", "accountType": "Revocable Trust"}

    day = run(ORION, change_response(GOLDEN, "registrations", change), *OFFICE)
    owners = [row for row in day.read_canonical("accounts", "account_owner") if row["account_key"] == "300001"]
    assert [(row["person_key"], row["legal_entity_key"], row["share_ratio"]) for row in owners] == [(None, "20001", 1)]


def test_accounts_without_registrations_have_their_first_owner(run: Run) -> None:
    day = run(ORION, GOLDEN, "accounts")
    assert {row["role"] for row in day.read_canonical("accounts", "account_owner")} == {"primary"}


def test_accounts_that_are_pulled_alone_keep_their_joint_owners(start_firm: Any) -> None:
    firm = start_firm(ORION, after=Firm.day, households=12)
    joint = "select account_owner_key from warehouse.account_owner where role = 'joint' and valid_to is null and recorded_to is null order by 1"
    before = firm.database.rows(joint)
    firm.day(LAST, "accounts", "assets")
    assert len(before) >= 3
    assert firm.database.rows(joint) == before


def test_transaction_names_its_security(run: Run) -> None:
    day = run(ORION, GOLDEN, "transactions")
    securities = {
        row["security_key"]: (row["name"], row["ticker"], row["cusip"])
        for row in day.read_canonical("transactions", "security")
    }
    assert securities["111"] == ("Coca-Cola Co", "KO", "990111106")
    assert len(securities) == len({row["security_key"] for row in day.read_canonical("transactions", "transaction")})
