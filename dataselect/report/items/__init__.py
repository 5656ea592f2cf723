"""The pages of a run's items: traces shaded by weight, with the NLL of each token beneath."""
