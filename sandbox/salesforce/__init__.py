"""A Salesforce org with Financial Services Cloud as a local server: what the project's load is tried out against."""

from sandbox.salesforce.app import create_app

__all__ = ["create_app"]
