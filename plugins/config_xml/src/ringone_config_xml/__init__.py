"""VirtualBox .vbox machine files for RingOne."""
