"""The search for mixture weights: proxies on mixtures, and a model of them that proposes the best.

`journal` keeps the trials on disk, `study` shares them out among workers, `sampler` says which
mixtures to train, `trial_runner` trains and scores them through the stages' machinery, `search`
does all of it in order and confirms what comes out.
"""
