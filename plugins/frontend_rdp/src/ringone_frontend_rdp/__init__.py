"""The console of a machine over RDP."""
