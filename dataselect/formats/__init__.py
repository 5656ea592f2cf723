"""Strict readers of files from other programs: CSV, JSON, tables of scores."""
