"""The stages of a run: what they work with, their jobs, their scores, and who goes on."""
