"""Contract tests for the three interfaces, to run against your implementations.

`compute` has `ComputeContract`, `proxy_sources` has `ProxySourceContract` and `frontier` has
`FrontierModelContract`. Each is a class of pytest tests with one abstract method that makes the
object under test: subclass it in a test module, implement the method, and run pytest.
docs/extending.md shows how. `jobs` has the functions that the compute tests run.

Only this package imports pytest; nothing else in dataselect imports this package.
"""

import sys

# So that failed assertions show their values, as in a test module. Skipped in a worker process,
# which imports only `jobs` and needs no pytest.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{module}" for module in ("compute", "frontier", "proxy_sources"))
    )
