"""A Salesforce org with Financial Services Cloud as a local server, to test the project's load against."""

from sandbox.salesforce.app import create_app

__all__ = ["create_app"]
