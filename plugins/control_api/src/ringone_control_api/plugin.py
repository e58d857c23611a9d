"""What control_api offers to RingOne. Imports nothing heavy: the server is imported when a machine is given one."""
