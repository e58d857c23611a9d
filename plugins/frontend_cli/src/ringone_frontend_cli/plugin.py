"""What frontend_cli offers to RingOne: nothing of its own kind. It is the command that runs machines and asks other plugins for commands."""
