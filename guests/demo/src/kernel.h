/* What the kernel's files share. The kernel is identity-mapped below 4 MiB, for ring 0 only. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

enum { PAGE = 4096, TICKS_PER_SECOND = 100 };

/* Selectors; the user's carry their privilege level. */
enum { KERNEL_CODE = 0x08, KERNEL_DATA = 0x10, USER_CODE = 0x18 | 3, USER_DATA = 0x20 | 3, TASK_STATE = 0x28 };

/* Vectors. The interrupt controllers are moved to 32 and 40. */
enum { DIVIDE_ERROR = 0, BREAKPOINT = 3, GENERAL_PROTECTION = 13, PAGE_FAULT = 14, IRQ_BASE = 32, IRQ_VECTORS = 16, SYSTEM_CALL = 0x80 };
enum { IRQ_TIMER = 0, IRQ_KEYBOARD = 1, IRQ_CASCADE = 2, IRQ_DISK = 14 };

/* Page-fault error code and page-table bits share their meaning: present, write, user. */
enum { PRESENT = 1, WRITABLE = 2, USER = 4 };

/* Where user programs see things. */
enum { USER_PROGRAM = 0x40000000, USER_STACK = 0x50000000, USER_SHARED = 0x60000000 };

struct frame {
    u32 gs, fs, es, ds, edi, esi, ebp, unused, ebx, edx, ecx, eax, vector, error, eip, cs, eflags, esp, ss;
};

struct fault {
    u32 count, vector, error, address;
};

/* --- entry.S */
u32 probe_read(u32 address);
void probe_write(u32 address, u32 value);
u32 probe_divide(u32 by);
void load_segments(void);
extern u32 recovery;
extern const u32 stub_addresses[], system_call_stub;

/* --- console.c: VGA text and COM1 say the same */
void console_start(void);
void print(const char *text);
void print_character(char character);
void print_decimal(u32 value);
void print_hex(u32 value);
void print_coloured(const char *text, u8 colour);
enum { GREY = 0x07, GREEN = 0x0A, RED = 0x0C, WHITE = 0x0F };

/* --- cpu.c */
extern struct fault last_fault;
void cpu_start(void);
void set_kernel_stack(u32 top);
u64 time_stamp(void);

/* --- paging.c */
void paging_start(void);
u32 new_page(void);
u32 new_address_space(void);
void map(u32 directory, u32 address, u32 page, u32 rights);
void unmap(u32 directory, u32 address);
void use_address_space(u32 directory);
extern u32 kernel_directory;

/* --- devices.c */
extern volatile u32 ticks, keys_typed, lines_typed;
void interrupts_start(void);
void device_interrupt(u32 irq);
void sleep_ticks(u32 count);
int keyboard_controller_self_test(void);
int keyboard_echo(void);
void keyboard_start(void);
int disk_identify(u32 *sectors);
int disk_read(u32 sector, u32 count, void *to);
extern volatile u32 disk_interrupts;
u32 find_pci_function(u32 vendor_device);
void power_off(void);

/* --- tasks.c */
struct task {
    struct frame *context;
    u32 directory, runnable, exit_code, system_calls, switches;
    struct fault fault;
    u8 *kernel_stack;
};
void tasks_start(void);
struct task *spawn(u32 program);
void run_tasks(void);
struct frame *schedule(struct frame *frame);
struct frame *system_call(struct frame *frame);
struct frame *end_task(struct frame *frame, u32 code);
struct task *current_task(void);
int multitasking(void);
extern volatile u32 *shared_ticks;

static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out16(u16 port, u16 value) { __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
static inline void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port)); }
static inline u8 in8(u16 port) { u8 value; __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline u16 in16(u16 port) { u16 value; __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline u32 in32(u16 port) { u32 value; __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port)); return value; }
static inline void wait_for_interrupt(void) { __asm__ volatile("sti; hlt" : : : "memory"); }
static inline void interrupts_off(void) { __asm__ volatile("cli" : : : "memory"); }
static inline u32 interrupts_saved(void) { u32 flags; __asm__ volatile("pushf; pop %0; cli" : "=r"(flags) : : "memory"); return flags; }
static inline void interrupts_restored(u32 flags) { __asm__ volatile("push %0; popf" : : "r"(flags) : "memory", "cc"); }
static inline void interrupts_on(void) { __asm__ volatile("sti" : : : "memory"); }
