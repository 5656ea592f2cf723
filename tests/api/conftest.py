"""Benchmark and models of the command line tests, to compare the API with the commands."""

from score_bench import bench, model_folder

__all__ = ["bench", "model_folder"]  # fixtures
