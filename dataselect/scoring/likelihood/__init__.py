"""Negative log-likelihoods of texts under a causal LM, computed once for what texts share."""
