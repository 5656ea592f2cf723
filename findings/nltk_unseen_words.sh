#!/usr/bin/env bash
# nltk 3.10.4: the interpolated language models give a word outside the training text probability 0.
#
# Expected before looking: Witten-Bell and Kneser-Ney smoothing keep some probability for what was not
# seen, so the log probability of any word is finite, as with the smoothing of KenLM or SRILM.
# Seen: with bigrams of a six-word text and NLTK's own preprocessing, a word that is not in the text has
# the score 0.0 (log score -inf) under WittenBellInterpolated and KneserNeyInterpolated, with a context
# and without; Laplace gives .1 and .06. So the mean log probability of a text with one new word is -inf.
#
# Exits with 1 if this is no longer so. Needs python3 and a package index; makes a temporary folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "nltk==3.10.4"
"$work/venv/bin/python" - <<'PY'
import nltk
from nltk.lm import KneserNeyInterpolated, Laplace, WittenBellInterpolated
from nltk.lm.preprocessing import padded_everygram_pipeline

print("nltk", nltk.__version__)
seen = {}
for model in (WittenBellInterpolated(2), KneserNeyInterpolated(2), Laplace(2)):
    text, words = padded_everygram_pipeline(2, [["the", "cat", "saw", "the", "small", "dog"]])
    model.fit(text, words)
    scores = [model.score("zebra", ["the"]), model.score("zebra")]
    seen[type(model).__name__] = scores
    print(f"{type(model).__name__}: 'zebra' after 'the' {scores[0]:.3f}, without context {scores[1]:.3f}")
smoothed = seen["WittenBellInterpolated"] + seen["KneserNeyInterpolated"]
raise SystemExit(any(smoothed) or not all(seen["Laplace"]))
PY
