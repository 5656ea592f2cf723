"""Results of the commands on tables, models and traces: JSON documents and terminal tables."""
