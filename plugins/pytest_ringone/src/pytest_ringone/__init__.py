"""pytest fixtures for tests that need a whole machine."""
