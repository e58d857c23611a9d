/* User programs, all in one: which of them runs comes in as an argument. They live in their own section and may use nothing of the kernel. */
#include "kernel.h"
#include "user.h"

#define USER_TEXT __attribute__((section(".user.text"), used))
#define USER_DATA_ONLY __attribute__((section(".user.rodata")))

USER_DATA_ONLY static const char greeting[] = "        hello from ring 3\n";

USER_TEXT static u32 call_system(u32 number, u32 argument) {
    u32 result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(argument) : "memory");
    return result;
}

USER_TEXT static u32 work(u32 seed) {
    const volatile u32 *now = (const volatile u32 *)USER_SHARED;
    u32 begin = *now, value = seed, selector;
    __asm__("mov %%cs, %0" : "=r"(selector));
    if ((selector & 3) != 3) return NOT_IN_RING_3;
    for (u32 round = 0; round < WORKER_ROUNDS; round++) {
        for (u32 i = 0; i < WORKER_STEPS; i++) value = step(value);
        call_system(SYS_COUNT, round);
    }
    while (*now - begin < WORKER_TICKS) {}
    return value;
}

USER_TEXT u32 user_main(u32 program) {
    switch (program) {
    case HELLO: call_system(SYS_PRINT, (u32)greeting); return 0;
    case WRITES_KERNEL: *(volatile u32 *)0x10000 = 0; return 0;
    case STOPS_INTERRUPTS: __asm__ volatile("cli"); return 0;
    case WRITES_PORT: __asm__ volatile("outb %%al, $0x80" : : "a"(0)); return 0;
    case CALLS_KERNEL_GATE: __asm__ volatile("int $0x20"); return 0;
    case RUNS_DATA_OF_KERNEL: __asm__ volatile("call *%0" : : "r"(0x10000)); return 0;
    default: return work(program + 1);
    }
}
