"""What holds for every test."""

from hypothesis import HealthCheck, settings

# no limits of time: the machine may be busy
settings.register_profile("chorale", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("chorale")
