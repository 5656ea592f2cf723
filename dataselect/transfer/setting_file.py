"""The JSON file that states what a table of pairs was measured with, to check its fit.

A table of pairs does not contain its models, traces or items. What this file gives goes into the
transfer function's setting; the rest stays unknown, with a warning where the function is used.
"""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from dataselect.formats.jsonfile import read_json
from dataselect.transfer.function import Setting


class _Hashes(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    traces: str | None = None
    benchmark: str | None = None


class SettingFile(BaseModel):
    """The fields of `function.Setting`; those that differ by benchmark are under `benchmarks`."""

    model_config = ConfigDict(extra="forbid", strict=True)
    target_size: int | None = Field(default=None, gt=0)
    """Parameters."""
    target_tokens: int | None = Field(default=None, gt=0)
    """At the end of training."""
    proxy_size: int | None = Field(default=None, gt=0)
    """Parameters."""
    proxy_tokens: int | None = Field(default=None, gt=0)
    """At the end of training."""
    tokenizer: str | None = None
    """The tokenizer's content hash."""
    metric_version: int | None = None
    """Version of the metric, as a report's provenance gives it."""
    calibration: str | None = None
    """The calibration runs, in words. Default: the table's file name."""
    benchmarks: dict[str, _Hashes] = Field(default_factory=dict)
    """By benchmark id: content hashes of its traces and items."""

    def of(self, benchmark: str) -> Setting:
        """The setting of one benchmark's function."""
        hashes = self.benchmarks.get(benchmark, _Hashes())
        return Setting(
            target_size=self.target_size,
            target_tokens=self.target_tokens,
            proxy_size=self.proxy_size,
            proxy_tokens=self.proxy_tokens,
            traces=hashes.traces,
            benchmark=hashes.benchmark,
            tokenizer=self.tokenizer,
            metric_version=self.metric_version,
        )


def read_setting(path: Path) -> SettingFile:
    """Read a setting. Raises InputError naming the field at fault."""
    return read_json(SettingFile, path, "fix or leave out that field")
