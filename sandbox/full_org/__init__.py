"""A Salesforce org that is already full: the records that the firm's users entered over years, before Tributary was installed."""

from sandbox.full_org.fill import fill
from sandbox.full_org.truth import Fact, Truth

__all__ = ["Fact", "Truth", "fill"]
