"""What frontend_cli offers to RingOne. Imports nothing heavy: parts are imported when they are created."""
