"""What commands on tables, models and traces found, as documents and as tables for people."""
