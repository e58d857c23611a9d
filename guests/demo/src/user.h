/* What the kernel and user programs agree on. */
#pragma once

enum { SYS_EXIT, SYS_COUNT, SYS_PRINT };
enum program { WORKER_A, WORKER_B, WORKER_C, HELLO, WRITES_KERNEL, STOPS_INTERRUPTS, WRITES_PORT, CALLS_KERNEL_GATE, RUNS_DATA_OF_KERNEL };
enum { WORKER_ROUNDS = 200, WORKER_STEPS = 1000, WORKER_TICKS = 12, NOT_IN_RING_3 = 3 };

/* A linear congruential generator; the kernel computes the same to check that no switch disturbed a worker. */
static inline unsigned step(unsigned value) { return value * 1664525u + 1013904223u; }
