"""Kernels entered without a BIOS: Linux by its 32-bit boot protocol, and Multiboot."""
