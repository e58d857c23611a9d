"""Character streams and the wall clock of the host for RingOne."""
