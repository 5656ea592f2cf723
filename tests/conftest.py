"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How long an example takes to draw or to run says nothing about the code, and machines that test
# are busy; tests of speed count work, not seconds.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
