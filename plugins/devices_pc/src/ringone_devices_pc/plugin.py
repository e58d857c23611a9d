"""What devices_pc offers to RingOne. Imports nothing heavy: parts are imported when they are created."""
