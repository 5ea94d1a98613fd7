"""The declaration of a shape: how an org of a kind represents households, persons and accounts, and what a firm deploys to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from include.crm.objects.envelope import ENVELOPE
from include.crm.objects.mapping import CrmObject
from include.crm.settings import Settings


@dataclass(frozen=True, slots=True)
class OwnObject:
    """A custom object that the firm deploys because no org has it.

    Attributes:
        label: Label, such as `Holding`.
        plural: Label of several.
        description: What its records are, without a final period.
        name_label: Label of the name; empty if records are numbered.
        number_format: Format of the number, such as `T-{0000000}`.
        has_master: Whether access follows the record of a master-detail field.
        has_activities: Whether tasks can be about its records.
    """

    label: str
    plural: str
    description: str
    name_label: str = ""
    number_format: str = ""
    has_master: bool = False
    has_activities: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape of org.

    Attributes:
        title: What it is, for a heading.
        list_objects: Returns the mappings for a firm's settings, parents before children.
        own: The custom objects that the firm deploys, by API name, besides the envelopes of every shape.
        read: Fields that we read but never write, by object. A subscriber receives only the changes of fields that it may read.
        account_entity: SQL of the entity of an org's account `p` without our key, from its `name` and `payload`; see `include.crm.adoption`.
        required: Fields, as `<object>.<field>`, that Salesforce requires, or that refer to a master. Salesforce itself grants access to
            them, and rejects a permission for them.
    """

    title: str
    list_objects: Callable[[Settings], list[CrmObject]]
    own: Mapping[str, OwnObject] = field(default_factory=dict)
    read: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    account_entity: str = ""
    required: frozenset[str] = frozenset()


ENVELOPES = {
    ENVELOPE: OwnObject("Envelope", "Envelopes", "Documents sent to a household for signature", name_label="Subject")
}
"""The custom object that all shapes have."""

ALERT = "Tributary_Alert__c"
ALERTS = {ALERT: OwnObject("Alert", "Alerts", "Findings of the business rules", number_format="A-{0000000}")}
"""The alerts of the shapes without those of the managed package."""

READ = {
    "Contact": ("Email", "MailingAddress", "MobilePhone", "Phone"),
    "Opportunity": ("AccountId", "Amount", "NextStep", "Probability", "Type"),
}
"""The fields that we read in all shapes."""
