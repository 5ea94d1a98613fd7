"""Faults of Tamarac's lists and reports."""

import io
import zipfile
from decimal import Decimal

import httpx
import pytest

from sandbox.tamarac.positions import HOLDINGS
from tests.sandbox.tamarac.caller import LAST


def test_transport_faults_strike_its_routes(tamarac):
    tamarac.fault("server_error", "accounts", times=1, status=502)
    tamarac.fault("too_many_requests", "reports", times=1)
    assert [tamarac.get("accounts").status_code for _ in range(2)] == [502, 200]
    assert tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST).status_code == 429
    tamarac.fault("body_cut", "reports/*/file", times=1)
    job = tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST).json()["jobId"]
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        tamarac.wait(job)
    assert tamarac.get(f"reports/{job}/file").status_code == 200


def test_fields_of_a_list_drift(tamarac):
    tamarac.fault("field_renamed", "households", field="advisorId", to="primaryAdvisorId")
    tamarac.fault("poison", "accounts", field="marketValue", value="N/A", share=0.5)
    assert all("primaryAdvisorId" in row for row in tamarac.rows("households"))
    assert {type(row["marketValue"]) for row in tamarac.rows("accounts")} == {str, Decimal}


def test_rows_come_and_go_between_pages(tamarac):
    ids = [row["accountId"] for row in tamarac.rows("accounts")]
    tamarac.fault("rows_removed", "accounts", count=2, times=1)
    pages = tamarac.pages("accounts", size=9)
    assert [[row["accountId"] for row in next(pages)] for _ in range(2)] == [ids[:9], ids[11:20]]
    tamarac.fault("rows_added", "accounts", count=2, times=1)
    pages = tamarac.pages("accounts", size=9)
    assert [[row["accountId"] for row in next(pages)] for _ in range(3)] == [ids[:9], ids[7:16], ids[16:25]]


def test_columns_of_a_report_drift(tamarac):
    tamarac.fault("field_renamed", "reports/AccountHoldingsAV/file", field="Market Value", to="Value", times=1)
    tamarac.fault("field_added", "reports/*/file", field="ESG Score", value=3, times=1)
    row = tamarac.holdings()[0]
    assert tuple(row) == tuple(n if n != "Market Value" else "Value" for n in (*HOLDINGS, "ESG Score"))
    assert row["ESG Score"] == "3"
    assert tuple(tamarac.holdings()[0]) == HOLDINGS


def test_cells_of_a_report_are_poisoned_in_a_share_of_rows(tamarac):
    tamarac.fault("poison", "reports/AccountHoldingsAV/file", field="Quantity", value="N/A", share=0.2, seed=3)
    rows = tamarac.holdings()
    assert 0.1 < sum(row["Quantity"] == "N/A" for row in rows) / len(rows) < 0.3
    tamarac.fault("poison", "reports/AccountTransactions/file", share=0.5, seed=1)
    assert len(tamarac.transactions()) > 500


def test_report_fails_and_another_hangs(tamarac):
    tamarac.fault("report_failed", "reports/AccountHoldingsAV", times=1)
    tamarac.fault("report_hangs", "reports/AccountTransactions", times=1)
    failed = tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST).json()["jobId"]
    hanging = tamarac.submit(report="AccountTransactions", dateType="Entry", startDate=LAST, endDate=LAST).json()[
        "jobId"
    ]
    assert tamarac.wait(failed)[1] == ["Queued", "Running", "Failed"]
    assert tamarac.get(f"reports/{failed}").json()["message"]
    tamarac.wait(hanging)
    response, stages = tamarac.wait(hanging)
    assert (response.status_code, stages) == (409, ["Running"] * 3)
    assert tamarac.holdings()


def test_archive_ends_in_its_middle(tamarac):
    tamarac.fault("zip_cut", "reports/AccountHoldingsAV/file", times=1)
    job = tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST).json()["jobId"]
    response, _ = tamarac.wait(job)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/zip")
    assert response.content.startswith(b"PK")
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(response.content))
