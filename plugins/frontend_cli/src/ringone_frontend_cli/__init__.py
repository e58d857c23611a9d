"""The ringone command."""
