"""The desk world: a small made-up language in which the paper's argument can be tried in minutes."""
