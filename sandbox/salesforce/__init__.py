"""A simulated Salesforce org with Financial Services Cloud, as a local server, to test the project's sync."""

from sandbox.salesforce.app import create_app

__all__ = ["create_app"]
