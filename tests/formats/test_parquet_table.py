"""The store's tables are read as pandas reads them."""

from pathlib import Path

import numpy as np
import pandas as pd

from dataselect.formats.parquet_table import read_table


def test_a_table_is_read_as_pandas_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "scores.parquet"
    table = pd.DataFrame(
        {"item": ["a", "b", "ü"], "nll": [0.1, np.nan, 3], "right": [True, False, True]}
    )
    table.to_parquet(file, index=False)
    found, wanted = read_table(file), pd.read_parquet(file)
    pd.testing.assert_frame_equal(found, wanted)
    assert found.dtypes.tolist() == wanted.dtypes.tolist()
    assert found.to_numpy().flags.c_contiguous == wanted.to_numpy().flags.c_contiguous
    table.set_index("item").to_parquet(file)
    pd.testing.assert_frame_equal(read_table(file), pd.read_parquet(file))
