"""Settings for all tests."""

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # `make gpu` runs tests with only torch installed
    pass
else:
    # no deadlines, because the machine may be busy
    settings.register_profile("chorale", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("chorale")
