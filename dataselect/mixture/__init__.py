"""Mixtures: from runs on many mixtures to the shares of the next pretraining run.

A mixture gives each source a share of the training tokens. The literature also calls the shares
mixture weights, ratios or proportions, as do many trainers and our files.

`swarm` holds runs, `laws`, `gaussian_process`, `ridge` and `trees` predict a metric from shares,
`stack` averages them by cross-validation, `model` adds the objective and intervals, `optimise`
finds the best mixture that `feasible` admits, `propose` says how good it is, `design` chooses
mixtures to train, `exports` writes shares for trainers. Nothing here trains a proxy.
"""
