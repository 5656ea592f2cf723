"""What holds for all tests."""

import signal

import pytest
from hypothesis import HealthCheck, settings

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.testing.frontier import stories

# How long an example takes to draw or to run says nothing about the code, and machines that test
# are busy; tests of speed count work, not seconds.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

# A script's background job ignores Ctrl-C, and what it starts inherits that; tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(name="stories")
def _stories() -> BenchmarkItems:
    return stories()
