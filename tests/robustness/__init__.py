"""Guests that mean harm: nothing that they do may raise in Python, end the process, or grow its memory without bound."""
