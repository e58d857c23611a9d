"""Disk images for RingOne."""
