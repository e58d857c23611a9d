"""The folder in which machines live."""
