"""Calibration runs: what they are (`spec`), a target's accuracies (`accuracies`, `lm_eval`), and
checkpoints of both paired at equal tokens (`pairing`). `calibrate` does the work.
"""
