/* Drivers: 8259 interrupt controllers, 8254 timer, 8042 keyboard controller, the first IDE disk, PCI configuration and ACPI power-off. */
#include "kernel.h"

/* --- Interrupt controllers and timer */

enum { PIC1 = 0x20, PIC2 = 0xA0, ICW1_ICW4 = 0x11, ICW4_8086 = 0x01, END_OF_INTERRUPT = 0x20 };
enum { PIT_COUNTER_0 = 0x40, PIT_CONTROL = 0x43, PIT_RATE_GENERATOR = 0x34, PIT_HZ = 1193182 };

volatile u32 ticks, keys_typed, lines_typed, disk_interrupts;

static void unmask(u32 irq) {
    u16 port = (irq < 8 ? PIC1 : PIC2) + 1;
    out8(port, in8(port) & ~(1 << (irq & 7)));
}

void interrupts_start(void) {
    u32 count = PIT_HZ / TICKS_PER_SECOND;
    out8(PIC1, ICW1_ICW4);
    out8(PIC2, ICW1_ICW4);
    out8(PIC1 + 1, IRQ_BASE);
    out8(PIC2 + 1, IRQ_BASE + 8);
    out8(PIC1 + 1, 1 << IRQ_CASCADE);
    out8(PIC2 + 1, IRQ_CASCADE);
    out8(PIC1 + 1, ICW4_8086);
    out8(PIC2 + 1, ICW4_8086);
    out8(PIC1 + 1, 0xFF);
    out8(PIC2 + 1, 0xFF);
    out8(PIT_CONTROL, PIT_RATE_GENERATOR);
    out8(PIT_COUNTER_0, count & 0xFF);
    out8(PIT_COUNTER_0, count >> 8);
    unmask(IRQ_CASCADE);
    unmask(IRQ_TIMER);
    unmask(IRQ_DISK);
    interrupts_on();
}

void sleep_ticks(u32 count) {
    for (u32 begin = ticks; ticks - begin < count;) wait_for_interrupt();
}

/* --- Keyboard */

enum { KBC_DATA = 0x60, KBC_COMMAND = 0x64, OUTPUT_FULL = 1, INPUT_FULL = 2 };
enum { KBC_WRITE_COMMAND_BYTE = 0x60, KBC_SELF_TEST = 0xAA, KBC_ENABLE_KEYBOARD = 0xAE, KEYBOARD_ECHO = 0xEE };
enum { COMMAND_BYTE = 0x45 /* translation, system flag, interrupt 1 */, SELF_TEST_PASSED = 0x55, KEY_RELEASED = 0x80, PATIENCE = 1000000 };

static const char letters[] = "\0\0331234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";

static void keyboard_send(u16 port, u8 value) {
    for (u32 patience = PATIENCE; in8(KBC_COMMAND) & INPUT_FULL && patience; patience--) {}
    out8(port, value);
}

static int keyboard_answer(void) {
    for (u32 patience = PATIENCE; patience; patience--)
        if (in8(KBC_COMMAND) & OUTPUT_FULL) return in8(KBC_DATA);
    return -1;
}

int keyboard_controller_self_test(void) {
    while (in8(KBC_COMMAND) & OUTPUT_FULL) in8(KBC_DATA);
    keyboard_send(KBC_COMMAND, KBC_SELF_TEST);
    return keyboard_answer() == SELF_TEST_PASSED;
}

int keyboard_echo(void) {
    keyboard_send(KBC_COMMAND, KBC_ENABLE_KEYBOARD);
    keyboard_send(KBC_DATA, KEYBOARD_ECHO);
    return keyboard_answer() == KEYBOARD_ECHO;
}

void keyboard_start(void) {
    keyboard_send(KBC_COMMAND, KBC_WRITE_COMMAND_BYTE);
    keyboard_send(KBC_DATA, COMMAND_BYTE);
    unmask(IRQ_KEYBOARD);
}

static void keyboard_interrupt(void) {
    u8 code = in8(KBC_DATA);
    if (code & KEY_RELEASED || code >= sizeof letters - 1 || !letters[code]) return;
    keys_typed++;
    if (letters[code] == '\n') lines_typed++;
    print_character(letters[code]);
}

/* --- IDE disk: programmed I/O with interrupts */

enum { IDE_DATA = 0x1F0, IDE_COUNT = 0x1F2, IDE_LBA = 0x1F3, IDE_DRIVE = 0x1F6, IDE_COMMAND = 0x1F7, IDE_CONTROL = 0x3F6 };
enum { IDE_ERROR = 0x01, IDE_DATA_REQUEST = 0x08, IDE_BUSY = 0x80, IDE_MASTER_LBA = 0xE0, READ_SECTORS = 0x20, IDENTIFY_DEVICE = 0xEC };
enum { SECTOR_WORDS = 256, LBA_SECTORS_WORD = 60, DISK_TICKS = 5 * TICKS_PER_SECOND };

static int disk_data(u32 interrupts_before, u16 *to) {
    u32 begin = ticks;
    interrupts_off();
    while (disk_interrupts == interrupts_before && ticks - begin < DISK_TICKS) {
        wait_for_interrupt();
        interrupts_off();
    }
    interrupts_on();
    u8 status = in8(IDE_COMMAND);
    if (status & (IDE_BUSY | IDE_ERROR) || !(status & IDE_DATA_REQUEST)) return 0;
    for (u32 i = 0; i < SECTOR_WORDS; i++) to[i] = in16(IDE_DATA);
    return 1;
}

int disk_identify(u32 *sectors) {
    u16 words[SECTOR_WORDS];
    u32 before = disk_interrupts;
    out8(IDE_CONTROL, 0);
    out8(IDE_DRIVE, IDE_MASTER_LBA);
    out8(IDE_COMMAND, IDENTIFY_DEVICE);
    if (!disk_data(before, words)) return 0;
    *sectors = words[LBA_SECTORS_WORD] | (u32)words[LBA_SECTORS_WORD + 1] << 16;
    return 1;
}

int disk_read(u32 sector, u32 count, void *to) {
    u16 *words = to;
    u32 before = disk_interrupts;
    out8(IDE_COUNT, count);
    out8(IDE_LBA, sector);
    out8(IDE_LBA + 1, sector >> 8);
    out8(IDE_LBA + 2, sector >> 16);
    out8(IDE_DRIVE, IDE_MASTER_LBA | sector >> 24);
    out8(IDE_COMMAND, READ_SECTORS);
    for (u32 i = 0; i < count; i++)
        if (!disk_data(before + i, words + i * SECTOR_WORDS)) return 0;
    return 1;
}

/* --- Interrupts of devices */

void device_interrupt(u32 irq) {
    switch (irq) {
    case IRQ_TIMER:
        ticks++;
        *shared_ticks = ticks;
        break;
    case IRQ_KEYBOARD: keyboard_interrupt(); break;
    case IRQ_DISK: disk_interrupts++; break;
    }
    if (irq >= 8) out8(PIC2, END_OF_INTERRUPT);
    out8(PIC1, END_OF_INTERRUPT);
}

/* --- PCI and power */

enum { PCI_ADDRESS = 0xCF8, PCI_DATA = 0xCFC, PCI_ENABLE = 1u << 31, FUNCTIONS = 32 * 8 };
enum { PIIX4_PM = 0x71138086, PMBASE = 0x40, PMREGMISC = 0x80, PMIOSE = 1, DEFAULT_PM_BASE = 0x600, PM1_CONTROL = 4, SLP_ENABLE = 1 << 13 };

static u32 pci_read(u32 function, u32 offset) {
    out32(PCI_ADDRESS, PCI_ENABLE | function << 8 | offset);
    return in32(PCI_DATA);
}

static void pci_write(u32 function, u32 offset, u32 value) {
    out32(PCI_ADDRESS, PCI_ENABLE | function << 8 | offset);
    out32(PCI_DATA, value);
}

/* On bus 0; all ones where there is none. */
u32 find_pci_function(u32 vendor_device) {
    for (u32 function = 0; function < FUNCTIONS; function++)
        if (pci_read(function, 0) == vendor_device) return function;
    return ~0u;
}

void power_off(void) {
    u32 function = find_pci_function(PIIX4_PM), base;
    interrupts_off();
    if (function != ~0u) {
        base = pci_read(function, PMBASE) & 0xFFC0;
        if (!base) pci_write(function, PMBASE, base = DEFAULT_PM_BASE);
        pci_write(function, PMREGMISC, pci_read(function, PMREGMISC) | PMIOSE);
        out16(base + PM1_CONTROL, SLP_ENABLE); /* sleep type 0 is S5 on this chip */
    }
    print("cannot power off\n");
    for (;;) __asm__ volatile("cli; hlt");
}
