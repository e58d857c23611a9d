"""Property tests have no time limits: under load an example may take as long as it likes. Whatever else a test asks for is in its own settings."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
