"""The report of a run: report.json, README.md, ranking.csv and the terminal summary."""
