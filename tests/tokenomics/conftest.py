"""Timing decides no test: the machine may be busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("tokenomics", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tokenomics")
