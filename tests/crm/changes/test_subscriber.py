"""What people change in Salesforce is in the warehouse, once, whatever happens on the way."""

from __future__ import annotations

import pytest

from include.crm.changes import pubsub as api
from include.crm.changes import store
from include.crm.changes.subscriber import _open
from include.errors import ConfigurationError
from tests.crm.changes.conftest import ACCOUNTS, CONTACTS, DEALS, REFRESHES, Hearing, wait_for


def test_a_change_lands_with_its_new_values_and_what_was_cleared(hearing: Hearing) -> None:
    contact = hearing.make(
        "Contact", LastName="Sample", Phone="5550100", Email="ada@old.example", MailingCity="Springfield"
    )
    with hearing.listening(CONTACTS):
        hearing.change(
            "Contact", contact, Email="ada@new.example", MailingCity="Shelbyville", FirstName="Ada", Phone=None
        )
        wait_for(lambda: "UPDATE" in hearing.kinds(contact))
    _, fields = hearing.changes(contact)[-1]
    assert fields.pop("LastModifiedDate").startswith("2026-11-2")
    assert fields == {"Email": "ada@new.example", "MailingCity": "Shelbyville", "FirstName": "Ada", "Phone": None}
    assert hearing.database.value("select nulled from warehouse.crm_change where change_type = 'UPDATE'") == ["Phone"]


def test_making_and_deleting_land_too(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        contact = hearing.make("Contact", LastName="Sample", Birthdate="1961-05-06")
        wait_for(lambda: hearing.kinds(contact))
        hearing.delete("Contact", contact)
        wait_for(lambda: hearing.kinds(contact) == ["CREATE", "DELETE"])
    assert hearing.record(contact)["Birthdate"] == "1961-05-06"
    assert hearing.database.value("select is_deleted from warehouse.crm_record")


def test_own_writes_are_ignored(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        ours, theirs = (hearing.make("Contact", LastName=name) for name in ("One", "Two"))
        wait_for(lambda: hearing.kinds(theirs))
        hearing.change("Contact", ours, client="Tributary", Title="Ours")
        hearing.change("Contact", ours, client="NotTributary", Title="Theirs")
        wait_for(lambda: len(hearing.kinds(ours)) == 2)
    assert [fields.get("Title") for _, fields in hearing.changes(ours)] == [None, "Theirs"]


def test_an_own_load_is_ignored_and_advances_the_position(hearing: Hearing) -> None:
    with hearing.listening(ACCOUNTS):
        before = hearing.place(ACCOUNTS)["received_at"]
        headers = hearing.log_in("tributary") | {
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
        made = hearing.sandbox.org.post(data, json=job, headers=headers).json()
        rows = "Tributary_Key__c,Name,RecordType.DeveloperName\nsample:v:household:1,Sample,IndustriesHousehold\n"
        url = f"{data}/{made['id']}"
        hearing.sandbox.org.put(f"{url}/batches", content=rows, headers=headers | {"Content-Type": "text/csv"})
        hearing.sandbox.org.patch(url, json={"state": "UploadComplete"}, headers=headers)
        wait_for(lambda: hearing.place(ACCOUNTS)["received_at"] not in (before, None))
    assert hearing.database.rows("select * from warehouse.crm_change") == []


def test_events_missed_while_stopped_are_received_later(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        pass
    contact = hearing.make("Contact", LastName="Sample")
    hearing.change("Contact", contact, Title="Doctor")
    with hearing.listening(CONTACTS):
        wait_for(lambda: hearing.kinds(contact) == ["CREATE", "UPDATE"])


def test_nothing_is_lost_or_doubled_by_kills(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        pass
    ids = []
    for _ in range(4):
        ids += hearing.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(40)])
        with hearing.listening(CONTACTS, is_ready=False) as said:
            wait_for(lambda said=said: said)  # type: ignore[misc]
    with hearing.listening(CONTACTS):
        wait_for(lambda: hearing.database.value("select count(*) from warehouse.crm_change") == len(ids))
    assert hearing.database.value("select count(distinct salesforce_id) from warehouse.crm_change") == len(ids)


def test_what_comes_twice_is_kept_once(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        hearing.fault("pubsub_twice", CONTACTS)
        first = hearing.make("Contact", LastName="One")
        wait_for(lambda: hearing.kinds(first))
        last = hearing.make("Contact", LastName="Two")
        wait_for(lambda: hearing.kinds(last))
    assert hearing.kinds(first) == ["CREATE"]


def test_a_lost_position_replays_all_events_without_changes(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        first = hearing.place(CONTACTS)["replay_id"]
        contact = hearing.make("Contact", LastName="One")
        wait_for(lambda: hearing.kinds(contact))
    hearing.database.do("update control.crm_topic set replay_id = :first", first=first)
    with hearing.listening(CONTACTS) as said:
        wait_for(lambda: hearing.place(CONTACTS)["replay_id"] != first)
    assert (hearing.kinds(contact), said) == (["CREATE"], [])


def test_a_record_is_what_was_committed_last_whatever_came_last(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        pass
    contact = hearing.make("Contact", LastName="Sample")
    for title in ("First", "Second", "Third"):
        hearing.change("Contact", contact, Title=title)
    hearing.fault("pubsub_reversed", CONTACTS)
    with hearing.listening(CONTACTS):
        wait_for(lambda: len(hearing.kinds(contact)) == 4)
    assert hearing.changes(contact)[0][1]["Title"] == "Third"
    assert hearing.record(contact)["Title"] == "Third"


def test_more_than_a_hundred_events_come_by_and_by(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        pass
    for _ in range(2):
        hearing.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(180)])
    with hearing.listening(CONTACTS):
        wait_for(lambda: hearing.database.value("select count(*) from warehouse.crm_change") == 360)
        assert hearing.place(CONTACTS)["trouble"] is None


def test_no_more_than_a_hundred_events_are_ever_outstanding(hearing: Hearing, caplog: pytest.LogCaptureFixture) -> None:
    with hearing.listening(CONTACTS):
        for _ in range(3):
            ids = hearing.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(60)])
            wait_for(lambda ids=ids: hearing.kinds(ids[-1]))  # type: ignore[misc]
        last = hearing.make("Contact", LastName="Last")
        wait_for(lambda: hearing.kinds(last))
    assert [each.message for each in caplog.records if each.name.startswith("include.crm.changes")] == []


def test_one_event_of_several_records_is_a_change_of_each(hearing: Hearing) -> None:
    ids = hearing.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(3)])
    body = {"records": [{"attributes": {"type": "Contact"}, "id": each, "Title": "Same"} for each in ids]}
    with hearing.listening(CONTACTS):
        hearing.send("PATCH", "composite/sobjects", json=body)
        wait_for(lambda: all("UPDATE" in hearing.kinds(each) for each in ids))
    assert hearing.database.value("select count(distinct (transaction_key, sequence_number)) from warehouse.crm_change"
                                  " where change_type = 'UPDATE'") == 1  # fmt: skip


def test_a_gap_makes_its_record_be_read_again(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        contact = hearing.make("Contact", LastName="Sample")
        wait_for(lambda: hearing.kinds(contact))
        hearing.fault("change_gap", CONTACTS)
        hearing.change("Contact", contact, Title="Lost on the way")
        wait_for(lambda: hearing.kinds(contact) == ["CREATE", "REREAD"])
    assert hearing.record(contact)["Title"] == "Lost on the way"


def test_an_overflow_makes_everything_since_be_read_again(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        hearing.fault("change_overflow", CONTACTS)
        ids = hearing.make_many("Contact", [{"LastName": f"Sample {n}"} for n in range(20)])
        wait_for(lambda: all(hearing.kinds(each) for each in ids))
    assert {kind for each in ids for kind in hearing.kinds(each)} == {"REREAD"}


def test_after_more_than_72_hours_what_was_missed_is_read_by_query(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        gone, changed = (hearing.make("Contact", LastName=name) for name in ("Gone", "Changed"))
        wait_for(lambda: hearing.kinds(changed))
    place = hearing.place(CONTACTS)["replay_id"]
    hearing.change("Contact", changed, Title="While nobody listened")
    hearing.delete("Contact", gone)
    hearing.turn(advance_seconds=73 * 3600)
    with hearing.listening(CONTACTS):
        wait_for(lambda: hearing.place(CONTACTS)["replay_id"] not in (place, None))
        after = hearing.make("Contact", LastName="After")
        wait_for(lambda: hearing.kinds(after))
    assert hearing.record(changed)["Title"] == "While nobody listened"
    assert hearing.kinds(gone) == ["CREATE", "REREAD"]
    assert hearing.database.value("select is_deleted from warehouse.crm_record where salesforce_id = :id", id=gone)


def test_within_72_hours_the_stream_replays_missed_events(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        contact = hearing.make("Contact", LastName="Sample")
        wait_for(lambda: hearing.kinds(contact))
    hearing.change("Contact", contact, Title="While nobody listened")
    hearing.turn(advance_seconds=70 * 3600)
    with hearing.listening(CONTACTS):
        wait_for(lambda: hearing.kinds(contact) == ["CREATE", "UPDATE"])


def test_signs_of_life_move_the_place_on(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        first = hearing.place(CONTACTS)["replay_id"]
        wait_for(lambda: hearing.place(CONTACTS)["replay_id"] != first)


def test_a_new_schema_in_the_middle_is_fetched(hearing: Hearing) -> None:
    with hearing.listening(ACCOUNTS):
        before = hearing.make("Account", Name="Before", Phone="5550100")
        wait_for(lambda: hearing.kinds(before))
        hearing.admin("settings", person_accounts=True)
        after = hearing.make(
            "Account", LastName="After", FirstName="Ada", RecordType={"DeveloperName": "PersonAccount"}
        )
        wait_for(lambda: hearing.kinds(after))
    assert [hearing.record(each).get("LastName") for each in (before, after)] == [None, "After"]


def test_all_deals_are_read_when_we_first_listen(hearing: Hearing) -> None:
    deals = [hearing.make_deal() for _ in range(3)]
    hearing.turn(advance_seconds=30 * 24 * 3600)
    with hearing.listening(DEALS):
        assert [hearing.kinds(each) for each in deals] == [["REREAD"]] * 3


def test_accounts_that_did_not_change_are_not_read_when_we_first_listen(hearing: Hearing) -> None:
    old = hearing.make("Account", Name="Old")
    hearing.turn(advance_seconds=3600)
    hearing.make("Account", Name="New")
    with hearing.listening(ACCOUNTS):
        assert hearing.kinds(old) == []


def test_a_session_that_ends_is_opened_again(hearing: Hearing) -> None:
    with hearing.listening(CONTACTS):
        hearing.sandbox.http.delete("/salesforce/_admin/sessions")
        hearing.fault("pubsub_unavailable", CONTACTS)
        wait_for(lambda: hearing.place(CONTACTS)["trouble"])
        contact = hearing.make("Contact", LastName="Sample")
        wait_for(lambda: hearing.kinds(contact))
        assert hearing.place(CONTACTS)["trouble"] is None


def test_an_unselected_topic_is_alerted_and_blocks_no_other(hearing: Hearing) -> None:
    hearing.admin("change_data_capture", objects=["Contact"])
    with hearing.listening(CONTACTS, ACCOUNTS, is_ready=False):
        contact = wait_for(lambda: hearing.place(CONTACTS).get("replay_id")) and hearing.make(
            "Contact", LastName="Sample"
        )
        wait_for(lambda: hearing.kinds(contact))
        wait_for(lambda: hearing.place(ACCOUNTS).get("trouble"))
    assert "for change data capture" in hearing.place(ACCOUNTS)["trouble"]
    assert set(store.find_troubles(hearing.listener, [CONTACTS, ACCOUNTS, REFRESHES], 0.0)) >= {ACCOUNTS, REFRESHES}


def test_new_changes_send_a_notification(hearing: Hearing) -> None:
    import psycopg

    with psycopg.connect(hearing.database.url(), autocommit=True) as db, hearing.listening(CONTACTS):
        db.execute("listen tributary_changes")
        hearing.make("Contact", LastName="Sample")
        [bell] = list(db.notifies(timeout=10, stop_after=1))
    assert bell.payload == CONTACTS


def test_a_token_is_never_sent_in_clear_but_to_this_machine() -> None:
    for url in ("http://api.pubsub.salesforce.com:7443", "api.pubsub.salesforce.com:7443", ""):
        with pytest.raises(ConfigurationError):
            _open(url)


def test_asking_for_more_than_a_hundred_is_refused(hearing: Hearing) -> None:
    import grpc

    ticket = hearing.log_in("person")["Authorization"].removeprefix("Bearer ")
    login = [("accesstoken", ticket), ("instanceurl", hearing.connection.url), ("tenantid", "00DHp0000000001AAA")]
    ask = api.MESSAGES["FetchRequest"](topic_name=CONTACTS, num_requested=101)
    with grpc.insecure_channel(hearing.connection.extra["pubsub"].removeprefix("http://")) as channel:
        call = channel.stream_stream(
            api.path_of("Subscribe"),
            request_serializer=api.MESSAGES["FetchRequest"].SerializeToString,
            response_deserializer=api.MESSAGES["FetchResponse"].FromString,
        )
        with pytest.raises(grpc.RpcError) as refused:
            next(call(iter([ask]), metadata=login))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
