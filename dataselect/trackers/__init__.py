"""Where else a run's numbers are shown: W&B, TensorBoard, trackio, MLflow, or another package's.

    tracker   the interface, and what a tracker is told of a run
    names     trackers by name, those of other packages by entry points
    sidecar   a tracker in a process of its own, beside the run
    follow    what that process does: read `metrics.jsonl` and pass it on
    wandb_run, tensorboard_run, trackio_run, mlflow_run   one for each library

A run writes `metrics.jsonl` and nothing else. A tracker's process reads that file, so a slow
network delays the run by nothing, a tracker that fails or hangs costs one note, and its library is
never imported into the run.
"""
