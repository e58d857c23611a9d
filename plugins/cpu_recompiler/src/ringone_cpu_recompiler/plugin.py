"""What cpu_recompiler offers to RingOne. Imports nothing heavy: parts are imported when they are created."""
