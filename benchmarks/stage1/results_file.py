"""The results of a study: what was found, with the command and the versions that found it."""

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy

HERE = Path(__file__).parent


def write_results(name: str, command: str, found: Mapping[str, Any]) -> None:
    """Write `NAME.json` beside this file, and print it."""
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "scipy": scipy.__version__,
    }
    document = {"command": command, "versions": versions, **found}
    text = json.dumps(document, indent=1, allow_nan=False)
    (HERE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
