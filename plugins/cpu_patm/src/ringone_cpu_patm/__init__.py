"""RingOne CPU backend that runs the guest's kernel at ring 1, scanned and patched."""
