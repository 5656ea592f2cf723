"""The search for the shares of a mixture: train proxies on mixtures, model them, propose the best.

`journal` keeps the trials on disk, `study` distributes them among workers, `sampler` chooses the
mixtures to train, `trial_runner` trains and scores them with the machinery of the stages, `search`
runs all of it in order, and `confirm` measures what is proposed.
"""
