"""The version, which artifacts and reports carry."""

__version__ = "0.1.0"
