"""Guest systems for trying and testing RingOne: our own demo in source, and how to get others from Debian."""
