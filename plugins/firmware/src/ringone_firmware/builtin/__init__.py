"""The built-in BIOS: a ROM of 16-bit stubs, and a service chip that does the thinking."""
