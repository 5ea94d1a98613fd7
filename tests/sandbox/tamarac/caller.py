"""Calls Tamarac in a running sandbox, and reads its reports."""

import csv
import io
import json
import zipfile
from collections import defaultdict
from decimal import Decimal

from sandbox.tamarac.app import PASSWORD, USER

API = "/tamarac/api/"
MORNING = "2026-11-21T12:00:00Z"  # a Saturday, after the night's files of Friday
TABLES = ("accounts", "groups", "households", "clients")
FIRST, LAST = "2026-07-01", "2026-11-20"


class Caller:
    """Calls Tamarac in a running sandbox, at first on Saturday morning."""

    def __init__(self, sandbox):
        self.sandbox, self.http = sandbox, sandbox.http
        sandbox.admin("clock", now=MORNING)

    def get(self, path, **params):
        return self.http.get(API + path, params=params, auth=(USER, PASSWORD))

    def follow(self, url):
        response = self.http.get(url, auth=(USER, PASSWORD))
        assert response.status_code == 200, response.text
        return json.loads(response.text, parse_float=Decimal)

    def pages(self, table, size=200):
        page = self.follow(f"{API}{table}?pageSize={size}")
        yield page["items"]
        seen = set()
        while "nextPageUrl" in page:
            assert page["nextPageUrl"] not in seen, "the pages form a loop"
            seen.add(page["nextPageUrl"])
            page = self.follow(page["nextPageUrl"])
            yield page["items"]

    def rows(self, table):
        return [row for page in self.pages(table) for row in page]

    def submit(self, **params):
        return self.http.post(f"{API}reports", json=params, auth=(USER, PASSWORD))

    def wait(self, job):
        stages = [self.get(f"reports/{job}").json()["status"] for _ in range(3)]
        return self.get(f"reports/{job}/file"), stages

    def report(self, **params):
        response, stages = self.wait(self.submit(**params).json()["jobId"])
        assert (response.status_code, stages[-1]) == (200, "Complete")
        return read_table(response)

    def holdings(self, day=LAST):
        return self.report(report="AccountHoldingsAV", asOfDate=day)

    def transactions(self, first=FIRST, last=LAST, by="Trade"):
        return self.report(report="AccountTransactions", dateType=by, startDate=first, endDate=last)

    def fault(self, kind, route, **options):
        response = self.http.post("/_sandbox/faults", json={"route": API + route, "kind": kind, **options})
        assert response.status_code == 200, response.text

    def edit(self, kind, **values):
        return self.sandbox.admin(f"tamarac/{kind}", **values)


def read_text(response):
    content = response.content
    if response.headers["Content-Type"] == "application/zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(archive.namelist()[0])
    return content.decode("utf-8-sig")


def read_table(response):
    return list(csv.DictReader(io.StringIO(read_text(response), newline="")))


def number(text):
    return Decimal(text.replace(",", ""))


def find(rows, **fields):
    return next(row for row in rows if all(row[key] == value for key, value in fields.items()))


def find_moves(rows):
    """Map (account, CUSIP) to the units moved; cash has no CUSIP."""
    moved = defaultdict(Decimal)
    for row in rows:
        if row["Status"] != "Posted":
            continue
        moved[row["Account ID"], row["CUSIP"]] += number(row["Quantity"]) if row["CUSIP"] else 0
        if not (row["CUSIP"] and row["Type"].startswith("Transfer")):
            moved[row["Account ID"], ""] += number(row["Amount"])
    return moved


def find_units(rows):
    units = defaultdict(Decimal)
    for row in rows:
        if row["Account Type"] != "Reporting Group":
            units[row["Account ID"], row["CUSIP"]] += number(row["Quantity"])
    return units
