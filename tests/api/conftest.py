"""The benchmark and the models of the commands' tests, so that both faces can be compared."""

from score_bench import bench, model_folder

__all__ = ["bench", "model_folder"]  # fixtures
