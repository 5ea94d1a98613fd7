"""Version of the product, as sent to the systems that it calls."""

VERSION = "0.1.0"
