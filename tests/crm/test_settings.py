"""A firm's settings: read from the connection as texts, rejected with a message if invalid, and applied."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest

from include.crm.objects.portfolio import list_mappings
from include.crm.settings import Settings
from include.crm.sync.readback import read_back
from include.errors import ConfigurationError
from tests.crm.conftest import ACCOUNTS, HOLDINGS, Crm

OTHER = "FinServ__SourceSystemId__c"


def test_texts_of_the_connection_are_read_as_what_they_are() -> None:
    extra = {
        "firm": "sample", "persons": "person_accounts", "has_transactions": "True", "transaction_days": "7",
        "most_collected": "100", "most_changed_ratio": "0.25", "most_moved_ratio": "0.5", "few": "5",
        "most_closed": "3", "reserved_ratio": "0.1",
        "key_field": "Our_Key__c", "key_fields": {"Account": "Other_Key__c"},
    }  # fmt: skip

    assert Settings.of(extra) == Settings(
        "sample",
        persons="person_accounts",
        has_transactions=True,
        transaction_days=7,
        most_collected=100,
        most_changed_ratio=Decimal("0.25"),
        most_moved_ratio=Decimal("0.5"),
        few=5,
        most_closed=3,
        reserved_ratio=Decimal("0.1"),
        key_field="Our_Key__c",
        key_fields={"Account": "Other_Key__c"},
    )


def test_numbers_of_the_connection_are_read_exactly() -> None:
    settings = Settings.of({"firm": "sample", "most_changed_ratio": 0.1, "few": 5, "has_transactions": False})

    assert (settings.most_changed_ratio, settings.few, settings.has_transactions) == (Decimal("0.1"), 5, False)


def test_missing_settings_have_defaults() -> None:
    assert Settings.of({"firm": "sample"}) == Settings("sample")


def test_what_is_none_of_these_settings_is_left_alone() -> None:
    assert Settings.of({"firm": "sample", "grant": "client_credentials", "private_key": "x"}) == Settings("sample")


def test_the_bounds_of_a_ratio_make_sense() -> None:
    assert Settings.of({"firm": "sample", "most_changed_ratio": 0, "reserved_ratio": 1}).reserved_ratio == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("firm", ""),
        ("firm", None),
        ("firm", "a:b"),
        ("firm", " "),
        ("firm", "a%"),
        ("firm", 7),
        ("persons", "people"),
        ("has_transactions", "yes"),
        ("few", "many"),
        ("few", "2.5"),
        ("few", None),
        ("few", "-1"),
        ("most_closed", -1),
        ("most_collected", -1),
        ("transaction_days", "-5"),
        ("most_changed_ratio", "0,3"),
        ("most_changed_ratio", "1.01"),
        ("most_changed_ratio", "NaN"),
        ("reserved_ratio", -0.1),
        ("reserved_ratio", "Infinity"),
        ("key_field", ""),
        ("key_field", "Our Key"),
        ("key_fields", "Account=Other_Key__c"),
        ("key_fields", None),
        ("key_fields", {"Account": 3}),
    ],
)
def test_nonsense_is_refused_by_the_name_of_the_setting(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.of({"firm": "sample", name: value})


def test_an_object_of_its_own_key_field_is_named_by_it_everywhere() -> None:
    settings = Settings("sample", key_fields={"Account": OTHER}, has_transactions=True)

    for mapping in list_mappings(settings):
        assert mapping.key_field == (OTHER if mapping.sobject == "Account" else "Tributary_Key__c")
        for field in mapping.fields:
            relationship, _, parent_key = field.name.partition(".")
            if parent_key.endswith("__c"):
                is_account = relationship.removesuffix("__r").removeprefix("FinServ__") in (
                    "Account", "Household", "PrimaryOwner", "JointOwner", "RelatedAccount",
                )  # fmt: skip
                assert parent_key == (OTHER if is_account else "Tributary_Key__c"), field.name


def dump(crm: Crm, sobject: str) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in crm.http.get(f"/salesforce/_admin/records/{sobject}").content.splitlines()]


@pytest.mark.parametrize("most_collected", [0, 2000], ids=["bulk", "collections"])
def test_a_firm_may_keep_our_key_in_a_field_of_its_own(crm: Crm, most_collected: int) -> None:
    own = {"Account": OTHER, ACCOUNTS: OTHER}
    crm.settings = replace(crm.settings, key_fields=own, most_collected=most_collected)

    counts = crm.sync()

    assert all(c.created == c.sent for c in counts.values())
    households = {r["Id"]: r[OTHER] for r in dump(crm, "Account") if ":household:" in r[OTHER]}
    accounts = {r["Id"]: r[OTHER] for r in dump(crm, ACCOUNTS)}
    assert len(households) == counts["household"].created
    assert len(accounts) == counts["account"].created
    assert all("Tributary_Key__c" not in record for name in own for record in dump(crm, name))
    assert {record["FinServ__Household__c"] for record in dump(crm, ACCOUNTS)} <= households.keys()
    assert {record["FinServ__FinancialAccount__c"] for record in dump(crm, HOLDINGS)} <= accounts.keys()
    assert crm.sent() == {}


def test_a_field_of_its_own_is_read_back_by_it(crm: Crm) -> None:
    crm.settings = replace(crm.settings, key_fields={"Account": OTHER, ACCOUNTS: OTHER})
    counts = crm.sync()

    differences = read_back(crm.org, "read", lambda _: None)

    assert {entity: each.read for entity, each in differences.items()} == {e: c.created for e, c in counts.items()}
    assert all(each.is_as_expected for each in differences.values())


def test_a_person_account_names_its_contact_half_by_the_contacts_field(crm: Crm) -> None:
    crm.http.post("/salesforce/_admin/settings", json={"person_accounts": True})
    crm.settings = replace(crm.settings, persons="person_accounts", key_fields={"Account": OTHER})

    counts = crm.sync()

    assert counts["membership"].created == counts["membership"].sent > 0
    assert crm.sent() == {}


def test_a_field_that_the_org_lacks_is_refused_by_name(crm: Crm) -> None:
    crm.settings = replace(crm.settings, key_fields={"Account": "Not_There__c"})

    with pytest.raises(ConfigurationError, match="Not_There__c"):
        crm.sync()


def test_a_shape_is_one_of_three() -> None:
    with pytest.raises(ConfigurationError, match="shape is flat, not managed_package or standard_objects or plain"):
        Settings.of({"firm": "sample", "shape": "flat"})


def test_persons_of_a_plain_org_are_contacts() -> None:
    assert Settings.of({"firm": "sample", "shape": "plain"}).persons == "individuals"
    message = "persons is person_accounts, not individuals in an org of the shape plain"
    with pytest.raises(ConfigurationError, match=message):
        Settings.of({"firm": "sample", "shape": "plain", "persons": "person_accounts"})
