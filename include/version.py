"""The product's version, as programs that we call are told it."""

VERSION = "0.1.0"
