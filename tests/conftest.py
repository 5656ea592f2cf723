"""What holds for all tests."""

import signal

import pytest
from hypothesis import HealthCheck, settings

from dataselect.benchmarks.items import BenchmarkItems, Item

# How long an example takes to draw or to run says nothing about the code, and machines that test
# are busy; tests of speed count work, not seconds.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A script's background job ignores Ctrl-C, and what it starts inherits that; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def stories() -> BenchmarkItems:
    """Four questions; the last has no rationale."""
    items = [
        Item(
            f"q{n}",
            f"Ann has {n} red apples and buys 2 more. How many?",
            str(n + 2),
            rationale=f"She has {n} apples. Then {n} + 2 = {n + 2} apples — café.",
        )
        for n in range(1, 4)
    ]
    return BenchmarkItems("stories", (*items, Item("q4", "How many?", "7")), (items[0],))
