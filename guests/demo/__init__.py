"""The demo guest: a small 32-bit system of our own that checks the PC under it, with the script that builds it and a command that shows it."""
