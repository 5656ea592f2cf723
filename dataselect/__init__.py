"""dataselect: decide which data to pretrain on next."""

__version__ = "0.1.0"
