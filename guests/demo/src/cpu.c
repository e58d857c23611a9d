/* Descriptor tables, the task state segment, and what happens on every interrupt and exception. */
#include "kernel.h"

struct table_register {
    u16 limit;
    u32 base;
} __attribute__((packed));

/* Of the task state segment only the stack for entries from ring 3 is used; an I/O map beyond the limit forbids all ports. */
struct task_state {
    u32 link, esp0, ss0, rest[22];
    u16 trap, io_map;
};

enum { INTERRUPT_GATE = 0x8E00, FROM_USER = 0x6000, AVAILABLE_TSS = 0x89 };

static u64 gdt[6];
static u64 idt[256];
static struct task_state tss;
struct fault last_fault;

static void gate(u32 vector, u32 handler, u32 kind) {
    idt[vector] = (u64)((handler & 0xFFFF0000) | kind) << 32 | KERNEL_CODE << 16 | (handler & 0xFFFF);
}

void cpu_start(void) {
    u32 base = (u32)&tss;
    gdt[1] = 0x00CF9B000000FFFF;
    gdt[2] = 0x00CF93000000FFFF;
    gdt[3] = 0x00CFFB000000FFFF;
    gdt[4] = 0x00CFF3000000FFFF;
    gdt[5] = (u64)(base >> 24) << 56 | (u64)AVAILABLE_TSS << 40 | (u64)(base & 0xFFFFFF) << 16 | (sizeof tss - 1);
    tss.ss0 = KERNEL_DATA;
    tss.io_map = sizeof tss;
    for (u32 vector = 0; vector < IRQ_BASE + IRQ_VECTORS; vector++) gate(vector, stub_addresses[vector], INTERRUPT_GATE);
    gate(SYSTEM_CALL, system_call_stub, INTERRUPT_GATE | FROM_USER);

    struct table_register gdt_register = {sizeof gdt - 1, (u32)gdt}, idt_register = {sizeof idt - 1, (u32)idt};
    __asm__ volatile("lgdt %0" : : "m"(gdt_register));
    load_segments();
    __asm__ volatile("lidt %0" : : "m"(idt_register));
    __asm__ volatile("ltr %w0" : : "r"(TASK_STATE));
}

void set_kernel_stack(u32 top) { tss.esp0 = top; }

u64 time_stamp(void) {
    u64 value;
    __asm__ volatile("rdtsc" : "=A"(value));
    return value;
}

static void note_fault(const struct frame *frame) {
    last_fault.count++;
    last_fault.vector = frame->vector;
    last_fault.error = frame->error;
    __asm__ volatile("mov %%cr2, %0" : "=r"(last_fault.address));
}

static void give_up(const struct frame *frame) {
    print_coloured("\nFAILED  unexpected exception ", RED);
    print_decimal(frame->vector);
    print(" error ");
    print_hex(frame->error);
    print(" at ");
    print_hex(frame->eip);
    print(" address ");
    print_hex(last_fault.address);
    print("\nDEMO FAILED\n");
    power_off();
}

static struct frame *exception(struct frame *frame) {
    note_fault(frame);
    if (frame->cs & 3) {
        current_task()->fault = last_fault;
        return end_task(frame, 0);
    }
    if (frame->vector == BREAKPOINT) return frame;
    if (!recovery) give_up(frame);
    frame->eip = recovery;
    return frame;
}

struct frame *interrupt(struct frame *frame) {
    if (frame->vector == SYSTEM_CALL) return system_call(frame);
    if (frame->vector < IRQ_BASE) return exception(frame);
    device_interrupt(frame->vector - IRQ_BASE);
    return frame->vector == IRQ_BASE + IRQ_TIMER && multitasking() ? schedule(frame) : frame;
}
