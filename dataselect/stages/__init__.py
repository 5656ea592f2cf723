"""The stages of a run: preparation, jobs, scores, rankings, pruning and predictions."""
