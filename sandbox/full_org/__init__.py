"""A Salesforce org that is full already: the records that the firm's people typed in over years, before Tributary came."""

from sandbox.full_org.fill import fill
from sandbox.full_org.truth import Fact, Truth

__all__ = ["Fact", "Truth", "fill"]
