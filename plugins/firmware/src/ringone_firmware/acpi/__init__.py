"""ACPI tables that describe the PC: an AML encoder, the tables themselves, and the two ways to place them."""
