"""An account's life: opened but empty, owned by nobody, closed, gone without a word."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.book import SUM_OF_SHARES, USD, Book, to_decimal, total
from include.rules.finding import about_accounts, dollars, usd
from include.rules.policy import Policy


def find_unfunded(book: Book, policy: Policy) -> pa.Table:
    """An account was opened and holds nothing.

    What: active, opened at least so many days ago, and worth exactly nothing (or not valued by the vendor at all). One
        that was emptied and left open is found too; one that the vendor does not name any more is not.
    Why: a transfer got stuck, or paperwork is missing; an empty account costs the client a fee.
    Threshold: `unfunded_days` calendar days from the opening. Measure: dollars.
    Closes: something is in it, or it is closed.
    """
    due = pa.scalar(book.business_date - timedelta(days=policy.unfunded_days))
    accounts = book.accounts.filter(pc.and_(book.accounts["is_active"], pc.is_null(book.accounts["absent_since"])))
    is_old = pc.less_equal(accounts["open_date"], due)
    is_empty = pc.equal(pc.fill_null(accounts["market_value_usd"], Decimal(0)), usd(Decimal(0)))
    unfunded = accounts.filter(pc.and_(is_old, is_empty))
    nothing = pc.fill_null(unfunded["market_value_usd"], Decimal(0))
    return about_accounts(
        unfunded, nothing,
        "Opened on ", unfunded["open_date"], f" and holds nothing after {policy.unfunded_days} days.",
    )  # fmt: skip


def find_unowned(book: Book, policy: Policy) -> pa.Table:
    """An active account has no owner, or its owners' shares do not add up to the whole.

    What: shares of owners of whom a household is known.
    Why: what nobody owns is missing from every household's assets; what is owned twice counts twice.
    Threshold: off 1 by more than `share_tolerance_ratio`. Measure: sum of the shares, a ratio.
    Closes: the shares add up to 1, or the account is closed.
    """
    owned = total(book.shares, ["account_id"], {"share_ratio": SUM_OF_SHARES})
    accounts = book.accounts.filter(book.accounts["is_active"]).join(owned, "account_id")
    accounts = accounts.append_column("owned_ratio", pc.fill_null(accounts["share_ratio"], Decimal(0)))
    off = pc.abs(pc.subtract(accounts["owned_ratio"], pa.scalar(Decimal(1), SUM_OF_SHARES)))
    unowned = accounts.filter(pc.greater(off, pa.scalar(policy.share_tolerance_ratio, SUM_OF_SHARES)))
    owned_ratio = to_decimal(unowned["owned_ratio"], pa.decimal128(8, 4))
    is_nobody = pc.equal(unowned["owned_ratio"], pa.scalar(Decimal(0), SUM_OF_SHARES))
    some = pc.binary_join_element_wise("Owners' shares add up to ", owned_ratio.cast(pa.string()), " and not to 1.", "")
    return about_accounts(unowned, owned_ratio, pc.if_else(is_nobody, "The account has no owner.", some))


def find_closed(book: Book, policy: Policy) -> pa.Table | None:
    """An account was closed.

    What: active on the day before, and not any more. A backdated closing is found on the day that the vendor shows it.
    Why: assets leave; standing orders, billing and beneficiaries must follow.
    Threshold: none. Measure: dollars that it held the day before.
    Closes: the closing is of one day; the finding stays for the rule's `open_days`.
    """
    if book.before is None:
        return None
    closed = book.accounts.filter(pc.and_(book.accounts["was_active"], pc.invert(book.accounts["is_active"])))
    held = pc.fill_null(closed["before_usd"], Decimal(0)).cast(USD)
    on = pc.fill_null(closed["close_date"].cast(pa.string()), f"{book.business_date}")
    return about_accounts(closed, held, "Closed on ", on, "; held ", dollars(held), f" on {book.before}.")


def find_absent(book: Book, policy: Policy) -> pa.Table:
    """The vendor does not name an account any more, and never said that it was closed.

    What: active when it was last named, and missing from the newest pull of all accounts; a row that can't be read is not
        missing.
    Why: it was deleted, or merged into another. Salesforce goes on showing what it was worth, which nobody can confirm.
        Nothing is deleted by itself.
    Threshold: none. Measure: dollars that it held the day before, where it was still valued then.
    Closes: the vendor names it again, or somebody ends it in the warehouse.
    """
    gone = book.accounts.filter(pc.and_(book.accounts["is_active"], pc.is_valid(book.accounts["absent_since"])))
    held = pc.fill_null(gone["before_usd"], Decimal(0)).cast(USD)
    return about_accounts(gone, held, "Not named by the vendor since ", gone["absent_since"], ", and not closed.")
