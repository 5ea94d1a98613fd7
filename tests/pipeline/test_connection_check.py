"""The check of a connection: one login and one small call, for every vendor and for Salesforce."""

from __future__ import annotations

from dataclasses import replace

import pytest

from include.connection import Connection
from include.control.calls import CallLog
from include.errors import AuthenticationError
from include.pipeline.connection_check import check_salesforce, check_vendor
from tests.conftest import Firm


@pytest.mark.others_long
def test_a_check_logs_in_and_makes_one_call(firm: Firm) -> None:
    assert check_vendor(firm.vendor_run(firm.new_run())).startswith("The login works. ")
    calls = firm.database.rows("select path, status from control.api_call where path <> '(login)'")
    assert [call["status"] for call in calls] == [200]


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
def test_a_refused_login_is_an_error_that_says_what_to_check(firm: Firm) -> None:
    firm.connection = replace(firm.connection, password="wrong")
    with pytest.raises(AuthenticationError, match="check user, password"):
        check_vendor(firm.vendor_run(firm.new_run()))


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
def test_a_check_logs_in_although_another_session_has_stored_a_token(firm: Firm) -> None:
    firm.stage(firm.new_run(), "clients")
    count = "select count(*) from control.api_call where path = '(login)'"
    logins = firm.database.value(count)
    check_vendor(firm.vendor_run(firm.new_run()))
    assert firm.database.value("select count(*) from control.cache") == 1
    assert firm.database.value(count) == logins + 1


@pytest.mark.parametrize("vendor", ["orion"], indirect=True)
def test_a_check_of_salesforce_reads_the_orgs_limits(firm: Firm) -> None:
    firm.sandbox.http.post(
        "/salesforce/_admin/consumers",
        json={"client_id": "tributary", "client_secret": "sandbox-only", "username": "load@tributary.example"},
    ).raise_for_status()
    org = Connection(firm.sandbox.org_url, "tributary", "sandbox-only", {"grant": "client_credentials", "firm": "test"})
    found = check_salesforce(org, CallLog(firm.engine, "salesforce", "", "run-1"))
    assert "calls are left in the org today" in found
