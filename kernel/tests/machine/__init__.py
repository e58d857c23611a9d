"""Tests of assembly, run loop, session and saved states, on a machine that needs no emulator."""
