"""What can be asked for, by topic."""
