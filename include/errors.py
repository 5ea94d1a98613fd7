"""Every error that Tributary raises, grouped by what the caller should do next.

TributaryError
├── RetriableError            the same work may succeed later: Airflow retries it
│   ├── VendorUnavailable     5xx, time-out, reset, a body cut short, a page that is not JSON
│   ├── RateLimited           429 or an exhausted quota; `retry_after` says when
│   ├── PagingUnstable        the data changed too fast to read all pages consistently
│   └── TargetUnavailable     Postgres, Salesforce or the staging store did not respond, or is temporarily refusing requests
│       ├── ClockSkew         the clock of this machine or of the database is minutes off
│       ├── SyncUnderWay      another sync is writing to Salesforce
│       └── ObjectUnavailable Salesforce is available, but one of its objects is not
└── FatalError                the same work fails again until an operator acts: Airflow does not retry it
    ├── ConfigurationError    a setting, a connection or a contract is wrong
    │   └── InputRejected     the input of a form is invalid; no alert is sent
    ├── AuthenticationError   the vendor or Salesforce refused the credentials
    ├── LimitExceeded         a response, a pull or a document is larger than the limits allow
    ├── SchemaDrift           the vendor's fields differ from the contract
    ├── DataQualityError      a batch-level expectation failed, or too many rows are dead letters
    ├── BalanceError          rows or money do not add up; nothing was committed
    ├── RowsFailed            the target rejected rows; each of them is a dead letter
    ├── HeldBack              nothing was sent to Salesforce: every change is held back
    │   └── ApprovalNeeded    nothing was sent: the number of changes requires approval
    └── WriterSuperseded      a newer writer took over this partition or object; this one must stop

A message includes vendor, table, key and count where they are known, and never a secret.
"""

from __future__ import annotations

from datetime import datetime


class TributaryError(Exception):
    """Root of every error raised on purpose.

    Args:
        message: What failed and what to do next, in one sentence.
        facts: Context of the failure (vendor, table, business_date, counts, ...), appended to the message.
    """

    def __init__(self, message: str, **facts: object) -> None:
        self.facts = {name: value for name, value in facts.items() if value is not None}
        facts_text = " ".join(f"{name}={value}" for name, value in self.facts.items())
        super().__init__(f"{message} [{facts_text}]" if facts_text else message)


class RetriableError(TributaryError):
    """The same work may succeed later."""


class VendorUnavailable(RetriableError):
    """The vendor did not send a complete and readable response.

    Attributes:
        failing_since: Time of the first of the consecutive failed requests; None if unknown.
        tries: Number of consecutive failed requests.
    """

    failing_since: datetime | None = None
    tries: int = 1


class RateLimited(RetriableError):
    """The vendor or Salesforce limits the rate of requests.

    Args:
        retry_after: Seconds to wait before the next call; None if the response gave no value.
    """

    def __init__(self, message: str, retry_after: float | None = None, **facts: object) -> None:
        self.retry_after = retry_after
        super().__init__(message, retry_after=None if retry_after is None else round(retry_after), **facts)


class PagingUnstable(RetriableError):
    """The vendor's rows moved between pages while these were read, so that rows may be missing."""


class TargetUnavailable(RetriableError):
    """Postgres, Salesforce or the staging store did not respond, or is temporarily refusing requests."""


class ClockSkew(TargetUnavailable):
    """The clock of this machine or of the database is off; another machine or a later retry may succeed."""


class SyncUnderWay(TargetUnavailable):
    """Another sync is writing to Salesforce."""


class ObjectUnavailable(TargetUnavailable):
    """Salesforce is available, but one of its objects is not: a job on it does not end, or its rows stay locked."""


class FatalError(TributaryError):
    """The same work fails again until an operator acts."""


class ConfigurationError(FatalError):
    """A setting, a connection or a contract is wrong."""


class InputRejected(ConfigurationError):
    """The input of a form is invalid; the operator who started the run sees the reason, and no alert is sent."""


class AuthenticationError(FatalError):
    """The vendor or Salesforce refused the credentials."""


class LimitExceeded(FatalError):
    """A response or a pull is larger than the vendor's limits allow."""


class SchemaDrift(FatalError):
    """The vendor's fields differ from the contract."""


class DataQualityError(FatalError):
    """The data of a vendor-day is not fit to be loaded."""


class BalanceError(FatalError):
    """Rows or money do not add up."""


class RowsFailed(FatalError):
    """The target rejected rows; each of them is a dead letter."""


class HeldBack(FatalError):
    """Nothing was sent to Salesforce, because every change is held back. Once changes are released, the next sync sends them."""


class ApprovalNeeded(HeldBack):
    """Nothing was sent to Salesforce: the number of changes requires approval."""


class WriterSuperseded(FatalError):
    """A newer writer took over; this one must not write."""
