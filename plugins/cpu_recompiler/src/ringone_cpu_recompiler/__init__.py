"""RingOne CPU backend on the Unicorn engine."""
