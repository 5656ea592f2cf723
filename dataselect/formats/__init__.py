"""Strict readers of the files that others write: CSV, JSON, tables of scores."""
