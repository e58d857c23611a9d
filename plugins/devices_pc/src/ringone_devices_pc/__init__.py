"""The PC's chips and its board for RingOne."""
