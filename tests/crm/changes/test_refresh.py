"""The platform event "refresh this client" starts on-demand runs, once each."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from include.crm.changes import store
from include.crm.changes.refresh import Client, find_clients
from include.pipeline.refresh import plan_refresh
from include.vendors import VENDORS
from tests.crm.changes.conftest import REFRESHES, Subscription, wait_for
from tests.firm_keys import open_body

# Vendors that accept requests for single clients, by household.
REFRESHABLE = [
    vendor.name for vendor in VENDORS if plan_refresh([Client(vendor.name, entity, "c1") for entity in ("household", "person")])
]  # fmt: skip


def add_client(subscription: Subscription, name: str, key: str) -> str:
    """Insert a vendor's household; return our key of it."""
    subscription.database.do(
        """
        with given as (
            insert into warehouse.source_key (entity, vendor, source_key) values ('household', :vendor, :key) returning id
        )
        insert into warehouse.household (household_id, vendor, household_key, name, valid_from, recorded_from, source_run_id)
        select id, :vendor, :key, 'Sample', '2026-01-01', now(), 1 from given
        """,
        vendor=name, key=key,
    )  # fmt: skip
    return f"sample:{name}:household:{key}"


def requests(subscription: Subscription) -> list[dict[str, Any]]:
    return subscription.database.rows("select * from control.request order by number")


def test_a_refresh_is_a_request_of_the_client(subscription: Subscription) -> None:
    key = add_client(subscription, REFRESHABLE[0], "c1")
    with subscription.listening(REFRESHES):
        subscription.make("Tributary_Refresh__e", Client_Key__c=key)
        [request] = wait_for(lambda: requests(subscription))
    values = {name: request[name] for name in ("caller", "what", "vendor", "state")}
    assert values == {"caller": "salesforce", "what": "run", "vendor": REFRESHABLE[0], "state": "waiting"}
    assert (request["params"]["keys"], request["params"]["on_demand"]) == (["c1"], True)


def test_a_repeated_event_requests_one_refresh(subscription: Subscription) -> None:
    key = add_client(subscription, REFRESHABLE[0], "c1")
    with subscription.listening(REFRESHES):
        subscription.fault("pubsub_twice", REFRESHES)
        subscription.make("Tributary_Refresh__e", Client_Key__c=key)
        wait_for(lambda: requests(subscription))
        subscription.make("Tributary_Refresh__e", Client_Key__c=key)
        wait_for(lambda: len(requests(subscription)) == 2)
    subscription.database.do("delete from control.idempotency")
    subscription.database.do(
        "update control.crm_topic set replay_id = decode(repeat('00', 8), 'hex') || substr(replay_id, 9)"
    )
    place = subscription.place(REFRESHES)["replay_id"]
    with subscription.listening(REFRESHES):
        wait_for(lambda: subscription.place(REFRESHES)["replay_id"] != place)
    assert len(requests(subscription)) == 2


def test_an_event_of_an_unknown_record_is_stored_without_a_request(subscription: Subscription) -> None:
    with subscription.listening(REFRESHES):
        subscription.make("Tributary_Refresh__e", Client_Key__c="sample:nobody:household:1", Vendor__c="nobody")
        wait_for(lambda: subscription.database.rows("select * from warehouse.crm_change"))
    [event] = subscription.database.rows("select * from warehouse.crm_change")
    assert (event["change_type"], event["object"], requests(subscription)) == ("EVENT", "Tributary_Refresh__e", [])
    assert event["fields"]["Client_Key__c"] == "sample:nobody:household:1"


def test_an_unreadable_event_is_stored_and_alerted_and_blocks_no_other(subscription: Subscription) -> None:
    key = add_client(subscription, REFRESHABLE[0], "c1")
    with subscription.listening(REFRESHES):
        subscription.fault("pubsub_cut", REFRESHES)
        subscription.make("Tributary_Refresh__e", Client_Key__c=key)
        wait_for(lambda: subscription.database.value("select count(*) from control.inbox"))
        assert requests(subscription) == []
        subscription.make("Tributary_Refresh__e", Client_Key__c=key)
        wait_for(lambda: requests(subscription))
    [stored] = subscription.database.rows("select * from control.inbox")
    assert (stored["sender"], bool(stored["event_id"]), stored["processed_at"] is None) == (REFRESHES, True, False)
    assert "can't be decoded" in stored["error"]
    assert open_body(stored)
    assert stored["headers"]["schema_id"]
    assert store.find_unread(subscription.engine, [REFRESHES], 900) == {REFRESHES: [stored["inbox_id"]]}
    assert store.find_troubles(subscription.engine, [REFRESHES], 900) == {}


def test_an_event_leaves_no_record_in_the_org(subscription: Subscription) -> None:
    subscription.make("Tributary_Refresh__e", Client_Key__c="sample:nobody:household:1")
    assert subscription.sandbox.http.get("/salesforce/_admin/records/Tributary_Refresh__e").content == b""


def test_the_records_of_a_client_are_those_of_all_vendors(subscription: Subscription) -> None:
    keys = [add_client(subscription, name, "c1") for name in ("one", "two")]
    subscription.database.do(
        """
        insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id)
        select 'household', b.id, a.id, 'a test', now(), 'test' from warehouse.source_key a, warehouse.source_key b
        where a.vendor = 'one' and b.vendor = 'two'
        """
    )
    with subscription.engine.connect() as db:
        clients = [find_clients(db, key) for key in keys]
        assert find_clients(db, "no key of ours") == []
        assert db.execute(sa.text("select count(*) from control.request")).scalar() == 0
    assert clients == [[Client("one", "household", "c1"), Client("two", "household", "c1")]] * 2


def test_the_triggerer_finds_a_client_whose_key_is_a_hash(subscription: Subscription) -> None:
    key = add_client(subscription, "one", 64 * "b" + "~2")
    subscription.database.do("insert into control.first_hash values (repeat('a', 64), repeat('b', 64) || '~2')")
    with subscription.listener.connect() as db:
        clients = [find_clients(db, each) for each in (key, f"sample:one:household:{64 * 'a'}")]
    assert clients == [[Client("one", "household", 64 * "b" + "~2")]] * 2


def test_the_triggerer_finds_the_household_of_a_legal_entity(subscription: Subscription) -> None:
    add_client(subscription, "one", "c1")
    subscription.database.do("""
        with given as (
            insert into warehouse.source_key (entity, vendor, source_key) values ('legal_entity', 'one', 'e1') returning id
        )
        insert into warehouse.legal_entity (legal_entity_id, vendor, legal_entity_key, household_id, valid_from, recorded_from, source_run_id)
        select id, 'one', 'e1', (select household_id from warehouse.household where household_key = 'c1'), '2026-01-01', now(), 1 from given
    """)
    with subscription.listener.connect() as db:
        assert find_clients(db, "sample:one:legal_entity:e1") == [Client("one", "household", "c1")]


def test_only_the_named_vendor_is_refreshed() -> None:
    clients = [Client(vendor.name, entity, "c1") for vendor in VENDORS for entity in ("household", "person")]
    assert list(plan_refresh(clients)) == REFRESHABLE
    assert list(plan_refresh(clients, REFRESHABLE[-1])) == REFRESHABLE[-1:]
    assert plan_refresh(clients, "nobody") == {}
