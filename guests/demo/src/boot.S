# First stage, in the disk's first sector: the BIOS puts it at 0x7C00. It loads the kernel that follows on the disk to KERNEL through INT 13h,
# asks for the memory map (INT 15h, E820h), opens A20 and enters the kernel in protected mode. Works from a disk and from a floppy.

.equ KERNEL, 0x10000
.equ MEMORY_MAP, 0x5000                 # a 32-bit count, then 24-byte entries
.equ MEMORY_MAP_MOST, 32
.equ CR0_PE, 1
.equ CODE, 0x08
.equ DATA, 0x10

.code16
.globl start
start:
    cli
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $start, %sp
    sti
    cld
    mov %dl, drive
    mov $loading, %si
    call print

    mov $0x08, %ah                      # drive parameters: CL = sectors a track, DH = last head
    xor %di, %di
    int $0x13
    jc disk_failed
    and $0x3F, %cx
    mov %cx, sectors_per_track
    movzbw %dh, %ax
    inc %ax
    mov %ax, heads

    mov $KERNEL >> 4, %bp               # segment of the next sector
next_sector:
    mov lba, %ax
    xor %dx, %dx
    divw sectors_per_track
    inc %dx
    mov %dl, %cl                        # sector, counted from 1
    xor %dx, %dx
    divw heads
    mov %al, %ch                        # cylinder
    mov %dl, %dh                        # head
    mov drive, %dl
    mov %bp, %es
    xor %bx, %bx
    mov $0x0201, %ax
    int $0x13
    jc disk_failed
    add $512 >> 4, %bp
    incw lba
    decw kernel_sectors
    jnz next_sector

    xor %ax, %ax
    mov %ax, %es
    mov $MEMORY_MAP + 4, %di
    movl $0, MEMORY_MAP
    xor %ebx, %ebx
next_range:
    mov $0xE820, %eax
    mov $24, %ecx
    mov $0x534D4150, %edx               # "SMAP"
    int $0x15
    jc 2f
    incl MEMORY_MAP
    add $24, %di
    cmpl $MEMORY_MAP_MOST, MEMORY_MAP
    jae 2f
    test %ebx, %ebx
    jnz next_range

2:  mov $0x2401, %ax
    int $0x15
    in $0x92, %al
    or $2, %al
    and $0xFE, %al
    out %al, $0x92

    cli
    lgdt gdt_register
    mov %cr0, %eax
    or $CR0_PE, %al
    mov %eax, %cr0
    ljmpl $CODE, $protected

disk_failed:
    mov $failed, %si
    call print
3:  hlt
    jmp 3b

print:
    lodsb
    test %al, %al
    jz 4f
    mov $0x0E, %ah
    mov $0x0007, %bx
    int $0x10
    jmp print
4:  ret

.code32
protected:
    mov $DATA, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov $start, %esp
    mov $KERNEL, %eax
    jmp *%eax

.balign 8
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF            # flat code, ring 0
    .quad 0x00CF93000000FFFF            # flat data, ring 0
gdt_register:
    .word gdt_register - gdt - 1
    .long gdt

loading: .asciz "RingOne demo\r\n"
failed: .asciz "The disk cannot be read.\r\n"
sectors_per_track: .word 0
heads: .word 0
lba: .word 1
drive: .byte 0

.org 436
kernel_sectors: .word 0                 # filled in by build.py
.org 510
.word 0xAA55
