"""Each edit in Salesforce reaches the warehouse exactly once, whatever fails on the way."""

from __future__ import annotations

import pytest

from include.crm.changes import pubsub as api
from include.crm.changes import store
from include.crm.changes.subscriber import _open
from include.errors import ConfigurationError
from tests.crm.changes.conftest import ACCOUNTS, CONTACTS, DEALS, REFRESHES, Subscription, wait_for


def test_a_change_lands_with_its_new_values_and_what_was_cleared(subscription: Subscription) -> None:
    contact = subscription.make(
        "Contact", LastName="Sample", Phone="5550100", Email="ada@old.example", MailingCity="Springfield"
    )
    with subscription.listening(CONTACTS):
        subscription.change(
            "Contact", contact, Email="ada@new.example", MailingCity="Shelbyville", FirstName="Ada", Phone=None
        )
        wait_for(lambda: "UPDATE" in subscription.kinds(contact))
    _, fields = subscription.changes(contact)[-1]
    assert fields == {"Email": "ada@new.example", "MailingCity": "Shelbyville", "FirstName": "Ada", "Phone": None}
    assert subscription.database.value("select nulled from warehouse.crm_change where change_type = 'UPDATE'") == [
        "Phone"
    ]


def test_values_of_fields_that_are_not_listed_are_in_no_row(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        contact = subscription.make("Contact", LastName="Secretname", Birthdate="1961-05-06", Title="Doctor")
        wait_for(lambda: subscription.kinds(contact))
        subscription.fault("change_gap", CONTACTS)
        subscription.change("Contact", contact, Birthdate="1962-06-07")
        wait_for(lambda: subscription.kinds(contact) == ["CREATE", "REREAD"])
    first, _ = rows = subscription.database.rows("select * from warehouse.crm_change order by change_id")
    assert {"Birthdate", "LastName", "Title"} <= set(first["changed"])
    assert first["fields"] == {"Title": "Doctor"}
    assert not any(value in str(rows) for value in ("1961", "1962", "Secretname"))


def test_creates_and_deletes_are_stored(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        contact = subscription.make("Contact", LastName="Sample", Title="Doctor")
        wait_for(lambda: subscription.kinds(contact))
        subscription.delete("Contact", contact)
        wait_for(lambda: subscription.kinds(contact) == ["CREATE", "DELETE"])
    assert subscription.record(contact)["Title"] == "Doctor"
    assert subscription.database.value("select is_deleted from warehouse.crm_record")


def test_own_writes_are_ignored(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        ours, theirs = (subscription.make("Contact", LastName=name) for name in ("One", "Two"))
        wait_for(lambda: subscription.kinds(theirs))
        subscription.change("Contact", ours, client="Tributary", Title="Ours")
        subscription.change("Contact", ours, client="NotTributary", Title="Theirs")
        wait_for(lambda: len(subscription.kinds(ours)) == 2)
    assert [fields.get("Title") for _, fields in subscription.changes(ours)] == [None, "Theirs"]


def test_an_own_load_is_ignored_and_advances_the_position(subscription: Subscription) -> None:
    with subscription.listening(ACCOUNTS):
        before = subscription.place(ACCOUNTS)["received_at"]
        headers = subscription.log_in("tributary") | {
            "Sforce-Call-Options": "client=Tributary",
            "Content-Type": "application/json",
        }
        job = {
            "object": "Account",
            "operation": "upsert",
            "externalIdFieldName": "Tributary_Key__c",
            "contentType": "CSV",
        }
        data = "/services/data/v66.0/jobs/ingest"
        created = subscription.sandbox.org.post(data, json=job, headers=headers).json()
        rows = "Tributary_Key__c,Name,RecordType.DeveloperName\nsample:v:household:1,Sample,IndustriesHousehold\n"
        url = f"{data}/{created['id']}"
        subscription.sandbox.org.put(f"{url}/batches", content=rows, headers=headers | {"Content-Type": "text/csv"})
        subscription.sandbox.org.patch(url, json={"state": "UploadComplete"}, headers=headers)
        wait_for(lambda: subscription.place(ACCOUNTS)["received_at"] not in (before, None))
    assert subscription.database.rows("select * from warehouse.crm_change") == []


def test_events_missed_while_stopped_are_received_later(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        pass
    contact = subscription.make("Contact", LastName="Sample")
    subscription.change("Contact", contact, Title="Doctor")
    with subscription.listening(CONTACTS):
        wait_for(lambda: subscription.kinds(contact) == ["CREATE", "UPDATE"])


def test_nothing_is_lost_or_doubled_by_kills(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        pass
    ids = []
    for _ in range(4):
        ids += subscription.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(40)])
        with subscription.listening(CONTACTS, is_ready=False) as messages:
            wait_for(lambda messages=messages: messages)  # type: ignore[misc]
    with subscription.listening(CONTACTS):
        wait_for(lambda: subscription.database.value("select count(*) from warehouse.crm_change") == len(ids))
    assert subscription.database.value("select count(distinct salesforce_id) from warehouse.crm_change") == len(ids)


def test_what_comes_twice_is_kept_once(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        subscription.fault("pubsub_twice", CONTACTS)
        first = subscription.make("Contact", LastName="One")
        wait_for(lambda: subscription.kinds(first))
        last = subscription.make("Contact", LastName="Two")
        wait_for(lambda: subscription.kinds(last))
    assert subscription.kinds(first) == ["CREATE"]


def test_a_lost_position_replays_all_events_without_changes(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        first = subscription.place(CONTACTS)["replay_id"]
        contact = subscription.make("Contact", LastName="One")
        wait_for(lambda: subscription.kinds(contact))
    subscription.database.do("update control.crm_topic set replay_id = :first", first=first)
    with subscription.listening(CONTACTS) as messages:
        wait_for(lambda: subscription.place(CONTACTS)["replay_id"] != first)
    assert (subscription.kinds(contact), messages) == (["CREATE"], [])


def test_a_record_is_what_was_committed_last_whatever_came_last(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        pass
    contact = subscription.make("Contact", LastName="Sample")
    for title in ("First", "Second", "Third"):
        subscription.change("Contact", contact, Title=title)
    subscription.fault("pubsub_reversed", CONTACTS)
    with subscription.listening(CONTACTS):
        wait_for(lambda: len(subscription.kinds(contact)) == 4)
    assert subscription.changes(contact)[0][1]["Title"] == "Third"
    assert subscription.record(contact)["Title"] == "Third"


def test_more_than_a_hundred_events_come_by_and_by(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        pass
    for _ in range(2):
        subscription.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(180)])
    with subscription.listening(CONTACTS):
        wait_for(lambda: subscription.database.value("select count(*) from warehouse.crm_change") == 360)
        assert subscription.place(CONTACTS)["trouble"] is None


def test_no_more_than_a_hundred_events_are_ever_outstanding(
    subscription: Subscription, caplog: pytest.LogCaptureFixture
) -> None:
    with subscription.listening(CONTACTS):
        for _ in range(3):
            ids = subscription.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(60)])
            wait_for(lambda ids=ids: subscription.kinds(ids[-1]))  # type: ignore[misc]
        last = subscription.make("Contact", LastName="Last")
        wait_for(lambda: subscription.kinds(last))
    assert [each.message for each in caplog.records if each.name.startswith("include.crm.changes")] == []


def test_one_event_of_several_records_is_a_change_of_each(subscription: Subscription) -> None:
    ids = subscription.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(3)])
    body = {"records": [{"attributes": {"type": "Contact"}, "id": each, "Title": "Same"} for each in ids]}
    with subscription.listening(CONTACTS):
        subscription.send("PATCH", "composite/sobjects", json=body)
        wait_for(lambda: all("UPDATE" in subscription.kinds(each) for each in ids))
    assert subscription.database.value("select count(distinct (transaction_key, sequence_number)) from warehouse.crm_change"
                                  " where change_type = 'UPDATE'") == 1  # fmt: skip


def test_a_gap_makes_its_record_be_read_again(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        contact = subscription.make("Contact", LastName="Sample")
        wait_for(lambda: subscription.kinds(contact))
        subscription.fault("change_gap", CONTACTS)
        subscription.change("Contact", contact, Title="Lost on the way")
        wait_for(lambda: subscription.kinds(contact) == ["CREATE", "REREAD"])
    assert subscription.record(contact)["Title"] == "Lost on the way"


def test_a_gap_of_a_record_that_no_query_finds_any_more_deletes_it(subscription: Subscription) -> None:
    with subscription.listening(DEALS):
        deal = subscription.make_deal()
        wait_for(lambda: subscription.kinds(deal))
    subscription.fault("change_gap", DEALS)
    subscription.delete("Opportunity", deal)
    subscription.sandbox.http.delete("/salesforce/_admin/records")  # also from the recycle bin
    with subscription.listening(DEALS):
        last = subscription.make_deal()
        wait_for(lambda: subscription.kinds(last))
    assert subscription.database.rows("select salesforce_id from mart.deal") == [{"salesforce_id": last}]


def test_an_overflow_makes_everything_since_be_read_again(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        subscription.fault("change_overflow", CONTACTS)
        ids = subscription.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(20)])
        wait_for(lambda: all(subscription.kinds(each) for each in ids))
    assert {kind for each in ids for kind in subscription.kinds(each)} == {"REREAD"}


def test_after_more_than_72_hours_what_was_missed_is_read_by_query(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        gone, changed = (subscription.make("Contact", LastName=name) for name in ("Gone", "Changed"))
        wait_for(lambda: subscription.kinds(changed))
    place = subscription.place(CONTACTS)["replay_id"]
    subscription.change("Contact", changed, Title="While nobody listened")
    subscription.delete("Contact", gone)
    subscription.turn(advance_seconds=73 * 3600)
    with subscription.listening(CONTACTS):
        wait_for(lambda: subscription.place(CONTACTS)["replay_id"] not in (place, None))
        after = subscription.make("Contact", LastName="After")
        wait_for(lambda: subscription.kinds(after))
    assert subscription.record(changed)["Title"] == "While nobody listened"
    assert subscription.kinds(gone) == ["CREATE", "REREAD"]
    assert subscription.database.value("select is_deleted from warehouse.crm_record where salesforce_id = :id", id=gone)


def test_within_72_hours_the_stream_replays_missed_events(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        contact = subscription.make("Contact", LastName="Sample")
        wait_for(lambda: subscription.kinds(contact))
    subscription.change("Contact", contact, Title="While nobody listened")
    subscription.turn(advance_seconds=70 * 3600)
    with subscription.listening(CONTACTS):
        wait_for(lambda: subscription.kinds(contact) == ["CREATE", "UPDATE"])


def test_signs_of_life_move_the_place_on(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        first = subscription.place(CONTACTS)["replay_id"]
        wait_for(lambda: subscription.place(CONTACTS)["replay_id"] != first)


def test_a_new_schema_in_the_middle_is_fetched(subscription: Subscription) -> None:
    with subscription.listening(ACCOUNTS):
        before = subscription.make("Account", Name="Before", Phone="5550100")
        wait_for(lambda: subscription.kinds(before))
        subscription.admin("settings", person_accounts=True)
        after = subscription.make(
            "Account", LastName="After", FirstName="Ada", RecordType={"DeveloperName": "PersonAccount"}
        )
        wait_for(lambda: subscription.kinds(after))
    assert [subscription.record(each).get("LastName") for each in (before, after)] == [None, "After"]


def test_all_deals_are_read_when_we_first_listen(subscription: Subscription) -> None:
    deals = [subscription.make_deal() for _ in range(3)]
    subscription.turn(advance_seconds=30 * 24 * 3600)
    with subscription.listening(DEALS):
        assert [subscription.kinds(each) for each in deals] == [["REREAD"]] * 3


def test_accounts_that_did_not_change_are_not_read_when_we_first_listen(subscription: Subscription) -> None:
    old = subscription.make("Account", Name="Old")
    subscription.turn(advance_seconds=3600)
    subscription.make("Account", Name="New")
    with subscription.listening(ACCOUNTS):
        assert subscription.kinds(old) == []


def test_a_session_that_ends_is_opened_again(subscription: Subscription) -> None:
    with subscription.listening(CONTACTS):
        subscription.sandbox.http.delete("/salesforce/_admin/sessions")
        subscription.fault("pubsub_unavailable", CONTACTS)
        wait_for(lambda: subscription.place(CONTACTS)["trouble"])
        contact = subscription.make("Contact", LastName="Sample")
        wait_for(lambda: subscription.kinds(contact))
        assert subscription.place(CONTACTS)["trouble"] is None


def test_an_unselected_topic_is_alerted_and_blocks_no_other(subscription: Subscription) -> None:
    subscription.admin("change_data_capture", objects=["Contact"])
    with subscription.listening(CONTACTS, ACCOUNTS, is_ready=False):
        contact = wait_for(lambda: subscription.place(CONTACTS).get("replay_id")) and subscription.make(
            "Contact", LastName="Sample"
        )
        wait_for(lambda: subscription.kinds(contact))
        wait_for(lambda: subscription.place(ACCOUNTS).get("trouble"))
    assert "for change data capture" in subscription.place(ACCOUNTS)["trouble"]
    assert set(store.find_troubles(subscription.listener, [CONTACTS, ACCOUNTS, REFRESHES], 0.0)) >= {
        ACCOUNTS,
        REFRESHES,
    }


def test_new_changes_send_a_notification(subscription: Subscription) -> None:
    import psycopg

    with psycopg.connect(subscription.database.url(), autocommit=True) as db, subscription.listening(CONTACTS):
        db.execute("listen tributary_changes")
        subscription.make("Contact", LastName="Sample")
        [notification] = list(db.notifies(timeout=10, stop_after=1))
    assert notification.payload == CONTACTS


def test_a_token_is_never_sent_in_clear_but_to_this_machine() -> None:
    for url in ("http://api.pubsub.salesforce.com:7443", "api.pubsub.salesforce.com:7443", ""):
        with pytest.raises(ConfigurationError):
            _open(url)


def test_changes_of_another_org_are_not_received(subscription: Subscription) -> None:
    subscription.database.do("insert into control.crm_org (org_id) values ('00DHp0000000002AAC')")
    with subscription.listening(CONTACTS, is_ready=False):
        error = wait_for(lambda: subscription.place(CONTACTS).get("trouble"))
    assert "another org" in error
    assert not subscription.place(CONTACTS)["replay_id"]


def test_requesting_more_than_a_hundred_events_is_refused(subscription: Subscription) -> None:
    import grpc

    ticket = subscription.log_in("person")["Authorization"].removeprefix("Bearer ")
    login = [("accesstoken", ticket), ("instanceurl", subscription.connection.url), ("tenantid", "00DHp0000000001AAA")]
    request = api.MESSAGES["FetchRequest"](topic_name=CONTACTS, num_requested=101)
    with grpc.insecure_channel(subscription.connection.extra["pubsub"].removeprefix("http://")) as channel:
        call = channel.stream_stream(
            api.path_of("Subscribe"),
            request_serializer=api.MESSAGES["FetchRequest"].SerializeToString,
            response_deserializer=api.MESSAGES["FetchResponse"].FromString,
        )
        with pytest.raises(grpc.RpcError) as error:
            next(call(iter([request]), metadata=login))
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
