"""The text on the page of a vendor's DAG: when it runs, what to do if it fails, and where its data is shown."""

from __future__ import annotations

import calendar

from include.contract import Vendor

WEEKDAYS = {"1-5": "on weekdays", "*": "every day"} | {
    str(n): f"every {calendar.day_name[(n - 1) % 7]}" for n in range(7)
}


def describe_daily(vendor: Vendor) -> str:
    """Return the text of a vendor's daily DAG, in Markdown."""
    return f"""Loads {vendor.title} into the warehouse: {describe_cron(vendor.cron, vendor.timezone)}. A step that is late sends an alert.

- **Is the day loaded?** [{vendor.title} in Operations](/plugin/operations/operations/vendors/{vendor.name}) shows each business date, and has the backfill.
- **A run failed:** follow docs/how-to/fixing_a_failed_run.md.
- **Rows are missing:** follow docs/how-to/replaying_dead_letters.md.

---

{vendor.notes}"""


def describe_on_demand(vendor: Vendor, noun: str) -> str:
    """Return the text of the DAG that refreshes single rows of a vendor; `noun` is what the vendor calls them, such as `clients`."""
    return f"""Loads single {noun} of {vendor.title} now. It runs only by hand, by the API or at Salesforce's request, beside the daily run.

- **Refresh one by name:** [Operations](/plugin/operations/operations/find-client), for households.
- **How to:** docs/how-to/refreshing_one_client.md.

---

{vendor.notes}"""


def describe_cron(cron: str, timezone: str) -> str:
    """Return a cron schedule in words, such as `on weekdays at 06:00, New York time`; the expression itself if it has an unusual form."""
    minute, hour, day, months, weekday = cron.split()
    zone = f"{timezone.rpartition('/')[2].replace('_', ' ')} time"
    if hour == "*" or hour.startswith("*/"):
        every = "every hour" if hour == "*" else f"every {hour[2:]} hours"
        return f"{every}, {int(minute)} minutes past the hour, {zone}" if minute.isdigit() else f"by `{cron}`, {zone}"
    if not (minute.isdigit() and hour.isdigit()):
        return f"by `{cron}`, {zone}"
    at = f"at {int(hour):02}:{int(minute):02}, {zone}"
    if (day, months) == ("*", "*") and weekday in WEEKDAYS:
        return f"{WEEKDAYS[weekday]} {at}"
    if day.isdigit() and weekday == "*" and months.replace(",", "").isdigit():
        names = [calendar.month_name[int(month)] for month in months.split(",")]
        return f"on day {day} of {', '.join(names[:-1])}{' and ' if names[1:] else ''}{names[-1]} {at}"
    return f"by `{cron}`, {zone}"
