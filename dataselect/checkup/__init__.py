"""Checks of what dataselect runs on: each gives a finding with a fix, none changes anything."""
