"""Every error that Tributary raises, classed by what the caller should do next.

TributaryError
├── RetriableError            the same work may succeed later: Airflow retries it
│   ├── VendorUnavailable     5xx, time-out, reset, a body cut short, a page that is not JSON
│   ├── RateLimited           429 or an exhausted quota; `retry_after` says when
│   ├── PagingUnstable        the data moved faster than the pages could be read
│   └── TargetUnavailable     Postgres, Salesforce or the staging's store did not answer, or refused for now
│       ├── ClockSkew         the clock of this machine or of the database is minutes off
│       ├── SyncUnderWay      another sync writes to Salesforce just now
│       └── ObjectUnavailable Salesforce is there, but one of its objects has to wait
└── FatalError                the same work fails again until somebody acts: Airflow does not retry it
    ├── ConfigurationError    a setting, a connection or a contract is wrong
    │   └── InputRejected     what a person chose in a form can't be done; nobody else is alerted
    ├── AuthenticationError   the vendor or Salesforce refused the credentials
    ├── LimitExceeded         a response or a pull is larger than the vendor's limits allow
    ├── SchemaDrift           the vendor's fields are not those of the contract
    ├── DataQualityError      a batch-level expectation failed, or too many rows are dead letters
    ├── BalanceError          rows or money do not add up; nothing was committed
    ├── RowsFailed            the target refused rows; each of them is a dead letter
    ├── HeldBack              nothing was sent to Salesforce: all that changed is held back
    │   └── ApprovalNeeded    nothing was sent: more would change than may before a person has approved it
    └── WriterSuperseded      a newer writer took over this partition or object; this one must stop

A message names vendor, table, key and count where they are known, and never holds a secret.
"""

from __future__ import annotations

from datetime import datetime


class TributaryError(Exception):
    """Root of every error raised on purpose.

    Args:
        message: What failed and what to do next, in one sentence.
        facts: Names and counts of what failed (vendor, table, business_date, ...), appended to the message.
    """

    def __init__(self, message: str, **facts: object) -> None:
        self.facts = {name: value for name, value in facts.items() if value is not None}
        named = " ".join(f"{name}={value}" for name, value in self.facts.items())
        super().__init__(f"{message} [{named}]" if named else message)


class RetriableError(TributaryError):
    """The same work may succeed later."""


class VendorUnavailable(RetriableError):
    """The vendor did not give a whole and readable answer.

    Attributes:
        failing_since: When the first of the requests was sent that failed one after the other; None where that is not known.
        tries: How many these were.
    """

    failing_since: datetime | None = None
    tries: int = 1


class RateLimited(RetriableError):
    """The vendor or Salesforce asks for patience.

    Args:
        retry_after: Seconds after which the next call is welcome; None where nothing was said.
    """

    def __init__(self, message: str, retry_after: float | None = None, **facts: object) -> None:
        self.retry_after = retry_after
        super().__init__(message, retry_after=retry_after, **facts)


class PagingUnstable(RetriableError):
    """Rows moved between pages faster than they could be read."""


class TargetUnavailable(RetriableError):
    """Postgres, Salesforce or the staging's store did not answer, or refused for now."""


class ClockSkew(TargetUnavailable):
    """The clock of this machine or of the database is off; another machine, or a later try, may be right."""


class SyncUnderWay(TargetUnavailable):
    """Another sync writes to Salesforce just now."""


class ObjectUnavailable(TargetUnavailable):
    """Salesforce is there, but one of its objects has to wait: a job that does not end, rows that stay locked."""


class FatalError(TributaryError):
    """The same work fails again until somebody acts."""


class ConfigurationError(FatalError):
    """A setting, a connection or a contract is wrong."""


class InputRejected(ConfigurationError):
    """What a person chose in a form can't be done; the person who started the run sees why, and no alert is sent."""


class AuthenticationError(FatalError):
    """The other side refused the credentials."""


class LimitExceeded(FatalError):
    """A response or a pull is larger than the vendor's limits allow."""


class SchemaDrift(FatalError):
    """The vendor's fields are not those of the contract."""


class DataQualityError(FatalError):
    """The data of a vendor-day is not fit to be loaded."""


class BalanceError(FatalError):
    """Rows or money do not add up."""


class RowsFailed(FatalError):
    """The target refused rows; each of them is a dead letter."""


class HeldBack(FatalError):
    """Nothing was sent to Salesforce, because everything that changed is held back; a later sync sends it once it may."""


class ApprovalNeeded(HeldBack):
    """Nothing was sent to Salesforce: more would change than may change before a person has approved it."""


class WriterSuperseded(FatalError):
    """A newer writer took over; this one must change nothing."""
