"""SeaBIOS, a built-in BIOS and direct Linux boot for RingOne."""
