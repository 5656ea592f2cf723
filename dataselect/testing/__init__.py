"""Contract tests for the three interfaces, to be run against implementations of your own.

`compute` has `ComputeContract`, `proxy_sources` has `ProxySourceContract` and `frontier` has
`FrontierModelContract`. Each is a class of pytest tests with one abstract method that makes what
is tested: subclass it in a test module, implement that method, and run pytest. docs/extending.md
shows how. `jobs` holds the functions that the compute tests run.

Only this package imports pytest; nothing else in dataselect imports this package.
"""

import sys

# Failed assertions then show their values, as in a test module. Not in a worker process, which
# imports `jobs` alone and needs no pytest.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{module}" for module in ("compute", "frontier", "proxy_sources"))
    )
