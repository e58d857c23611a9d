"""A running machine over HTTP."""
