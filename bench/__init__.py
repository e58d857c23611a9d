"""Benchmarks: RingOne beside QEMU's TCG on the same guest, in turn and in one run, because machines are noisy. `python -m bench` runs them all."""
