"""Negative log-likelihoods of texts under a causal LM; shared parts of texts are computed once."""
