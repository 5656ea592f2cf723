"""The synthetic world: a small made-up language to try the paper's argument in, within minutes."""
