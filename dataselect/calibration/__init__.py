"""Calibration runs: the spec (`spec`), a target's accuracies (`accuracies`, `lm_eval`), checkpoints
of proxy and target paired at equal tokens (`pairing`), and the measurement itself (`calibrate`).
"""
