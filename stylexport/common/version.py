"""The version of this tool, as written into every ledger."""

__version__ = "0.1.0"
