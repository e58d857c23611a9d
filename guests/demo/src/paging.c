/* Two-level paging: the kernel's 4 MiB identity-mapped for ring 0 in every address space, user pages above. Pages come from a pool that only grows. */
#include "kernel.h"

enum { POOL = 0x200000, IDENTITY_END = 0x400000, ENTRIES = 1024, FRAME = ~0xFFFu, CR0_PG = 1u << 31, CR0_WP = 1 << 16 };

u32 kernel_directory;
static u32 next_free = POOL;

u32 new_page(void) {
    u32 page = next_free;
    next_free += PAGE;
    for (u32 i = 0; i < ENTRIES; i++) ((u32 *)page)[i] = 0;
    return page;
}

void map(u32 directory, u32 address, u32 page, u32 rights) {
    u32 *entry = (u32 *)directory + (address >> 22);
    if (!*entry) *entry = new_page() | PRESENT | WRITABLE | USER;
    ((u32 *)(*entry & FRAME))[address >> 12 & (ENTRIES - 1)] = page | PRESENT | rights;
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

void unmap(u32 directory, u32 address) {
    u32 table = ((u32 *)directory)[address >> 22] & FRAME;
    ((u32 *)table)[address >> 12 & (ENTRIES - 1)] = 0;
    __asm__ volatile("invlpg (%0)" : : "r"(address) : "memory");
}

/* The kernel's part is the same tables; the user's part is empty. */
u32 new_address_space(void) {
    u32 directory = new_page();
    ((u32 *)directory)[0] = ((u32 *)kernel_directory)[0];
    return directory;
}

void use_address_space(u32 directory) { __asm__ volatile("mov %0, %%cr3" : : "r"(directory) : "memory"); }

void paging_start(void) {
    u32 cr0;
    kernel_directory = new_page();
    for (u32 address = 0; address < IDENTITY_END; address += PAGE) map(kernel_directory, address, address, WRITABLE);
    use_address_space(kernel_directory);
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 | CR0_PG | CR0_WP) : "memory");
}
