"""Guest kernels that must end the same on every CPU backend, whatever disturbs it."""
