"""What frontend_rdp offers to RingOne. Imports nothing heavy: the server is imported when a machine is given one."""
