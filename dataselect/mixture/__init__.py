"""Mixtures: from runs on many mixtures to the weights of the next pretraining run.

`swarm` holds runs, `laws`, `gaussian_process`, `ridge` and `trees` predict a metric from weights,
`stack` averages them by cross-validation, `model` adds the objective and intervals, `search` finds
the best mixture that `feasible` admits, `propose` says how good it is, `design` chooses mixtures to
train, `exports` writes weights for trainers. Nothing here trains a proxy.
"""
