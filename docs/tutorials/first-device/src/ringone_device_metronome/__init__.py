"""A metronome for RingOne."""
