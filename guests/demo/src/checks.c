/* The demo itself: checks what it finds, one line each, says whether all passed, and powers off. */
#include "kernel.h"
#include "user.h"

enum { MEMORY_MAP = 0x5000, MEMORY_RAM = 1, PATTERN_SECTOR = 256, PATTERN_MAGIC = 0x54415052 /* "RPAT" */, UNMAPPED = 0xDEADB000 };
enum { TYPING_TICKS = TICKS_PER_SECOND / 2, MOST_PATTERN_SECTORS = 64 };

struct memory_range {
    u64 base, length;
    u32 type, attributes;
};

static u32 checks, failures;
static u32 disk_buffer[MOST_PATTERN_SECTORS * 128];

static void check(int passed, const char *what) {
    checks++;
    if (!passed) failures++;
    print_coloured(passed ? "ok      " : "FAILED  ", passed ? GREEN : RED);
    print(what);
    print_character('\n');
}

static void check_memory(void) {
    u32 count = *(volatile u32 *)MEMORY_MAP, kilobytes = 0;
    const struct memory_range *ranges = (const struct memory_range *)(MEMORY_MAP + 4);
    volatile u32 *low = (volatile u32 *)0x6000, *high = (volatile u32 *)0x106000;
    u32 kept = *high;
    for (u32 i = 0; i < count; i++)
        if (ranges[i].type == MEMORY_RAM) kilobytes += (u32)(ranges[i].length >> 10);
    print("        ");
    print_decimal(kilobytes);
    print(" KiB of memory\n");
    check(count >= 2 && kilobytes > 4096, "the BIOS reports a memory map");
    *low = 0x11111111;
    *high = 0x22222222;
    check(*low == 0x11111111 && *high == 0x22222222, "A20 is open: 1 MiB is not 0");
    *high = kept;
}

static int faulted(u32 count_before, u32 vector, u32 error) {
    return last_fault.count == count_before + 1 && last_fault.vector == vector && last_fault.error == error;
}

static void check_exceptions(void) {
    u32 before = last_fault.count;
    probe_divide(0);
    check(faulted(before, DIVIDE_ERROR, 0), "division by zero raises exception 0");
    before = last_fault.count;
    __asm__ volatile("int3");
    check(faulted(before, BREAKPOINT, 0), "INT3 raises exception 3");
}

static void check_paging(void) {
    u32 before = last_fault.count, page = new_page();
    probe_read(UNMAPPED + 0x123);
    check(faulted(before, PAGE_FAULT, 0) && last_fault.address == UNMAPPED + 0x123, "reading an unmapped page faults with its address in CR2");
    map(kernel_directory, UNMAPPED, page, 0);
    *(u32 *)(page + 0x120) = 0x600DDA7A;
    before = last_fault.count;
    check(probe_read(UNMAPPED + 0x120) == 0x600DDA7A && last_fault.count == before, "the same page mapped can be read");
    probe_write(UNMAPPED + 0x120, 0);
    check(faulted(before, PAGE_FAULT, PRESENT | WRITABLE) && last_fault.address == UNMAPPED + 0x120, "writing a read-only page faults with CR0.WP");
    unmap(kernel_directory, UNMAPPED);
    before = last_fault.count;
    probe_read(UNMAPPED);
    check(faulted(before, PAGE_FAULT, 0), "INVLPG forgets a mapping");
}

static void check_timer(void) {
    u32 good = 0;
    for (u32 i = 0; i < 10; i++) {
        u32 tick = ticks;
        u64 stamp = time_stamp();
        sleep_ticks(1);
        if (ticks > tick && time_stamp() > stamp) good++;
    }
    check(good == 10, "timer interrupts come, and time never runs backwards");
}

static void check_keyboard(void) {
    check(keyboard_controller_self_test(), "the keyboard controller passes its self-test");
    check(keyboard_echo(), "the keyboard answers an echo");
    keyboard_start();
}

static u32 checksum(const u8 *bytes, u32 count) {
    u32 crc = ~0u;
    for (u32 i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (u32 bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    return ~crc;
}

/* A header sector (magic, sectors, CRC-32) and the pattern behind it; build.py writes them. */
static void check_disk(void) {
    u32 sectors = 0, before = disk_interrupts;
    int found = disk_identify(&sectors);
    print("        disk of ");
    print_decimal(sectors);
    print(" sectors\n");
    check(found && sectors > PATTERN_SECTOR, "the IDE disk identifies itself");
    int read = disk_read(PATTERN_SECTOR, 1, disk_buffer);
    u32 magic = disk_buffer[0], count = disk_buffer[1], expected = disk_buffer[2];
    read = read && magic == PATTERN_MAGIC && count <= MOST_PATTERN_SECTORS && disk_read(PATTERN_SECTOR + 1, count, disk_buffer);
    check(read && checksum((u8 *)disk_buffer, count * 512) == expected, "what is read from it has the right CRC-32");
    check(disk_interrupts - before == count + 2, "it interrupts once a sector");
}

static void check_tasks(void) {
    static const u32 seeds[] = {WORKER_A + 1, WORKER_B + 1, WORKER_C + 1};
    struct task *workers[3];
    int undisturbed = 1, counted = 1, switched = 1;
    for (u32 i = 0; i < 3; i++) workers[i] = spawn(WORKER_A + i);
    spawn(HELLO);
    run_tasks();
    for (u32 i = 0; i < 3; i++) {
        u32 value = seeds[i];
        for (u32 n = 0; n < WORKER_ROUNDS * WORKER_STEPS; n++) value = step(value);
        undisturbed &= workers[i]->exit_code == value;
        counted &= workers[i]->system_calls == WORKER_ROUNDS + 1;
        switched &= workers[i]->switches >= 3;
    }
    check(undisturbed, "three ring-3 tasks compute undisturbed");
    check(counted, "every system call is counted");
    check(switched, "the timer switches between them");
}

static void check_isolation(void) {
    static const struct {
        u32 program, vector, error, address;
        const char *what;
    } cases[] = {
        {WRITES_KERNEL, PAGE_FAULT, PRESENT | WRITABLE | USER, 0x10000, "ring 3 cannot write kernel memory"},
        {RUNS_DATA_OF_KERNEL, PAGE_FAULT, PRESENT | USER, 0x10000, "ring 3 cannot run kernel code"},
        {STOPS_INTERRUPTS, GENERAL_PROTECTION, 0, 0, "ring 3 cannot stop interrupts"},
        {WRITES_PORT, GENERAL_PROTECTION, 0, 0, "ring 3 cannot write ports"},
        {CALLS_KERNEL_GATE, GENERAL_PROTECTION, 0x20 * 8 + 2, 0, "ring 3 cannot call a kernel's gate"},
    };
    for (u32 i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct task *task = spawn(cases[i].program);
        run_tasks();
        int stopped = task->fault.vector == cases[i].vector && task->fault.error == cases[i].error;
        check(stopped && (!cases[i].address || task->fault.address == cases[i].address), cases[i].what);
    }
}

/* Whoever sits in front may type: the first key makes the demo wait for Enter. */
static void let_type(void) {
    print("Type if you like; Enter powers off.\n");
    sleep_ticks(TYPING_TICKS);
    while (keys_typed && !lines_typed) wait_for_interrupt();
}

void kernel_main(void) {
    console_start();
    print_coloured("RingOne demo: a small 32-bit system that checks the PC under it\n", WHITE);
    cpu_start();
    check_memory();
    check_exceptions();
    paging_start();
    check_paging();
    tasks_start();
    interrupts_start();
    check_timer();
    check_keyboard();
    check_disk();
    check_tasks();
    check_isolation();
    let_type();
    print_decimal(checks);
    print(" checks, ");
    print_decimal(failures);
    print(" failed\n");
    print_coloured(failures ? "DEMO FAILED\n" : "DEMO PASSED\n", failures ? RED : GREEN);
    power_off();
}
