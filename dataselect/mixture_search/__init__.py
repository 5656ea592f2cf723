"""The search for mixture weights: proxies on mixtures, and a model of them that proposes the best.

`journal` keeps the trials on disk, `board` shares them out among workers, `course` says which
mixtures to train, `ground` trains and scores them through the stages' machinery, `search` does
all of it in order and confirms what comes out.
"""
