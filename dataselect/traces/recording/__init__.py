"""Asking a frontier model behind a server for traces, with nothing asked or paid twice."""
