"""The synthetic world: a small made-up language in which to try the method within minutes."""
