"""What holds for every test."""

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # `make gpu` runs its tests where only torch is
    pass
else:
    # no limits of time: the machine may be busy
    settings.register_profile("chorale", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("chorale")
