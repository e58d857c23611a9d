# A Multiboot kernel that does what kernels do most around interrupts: saves the flags, disables interrupts, enables or restores them, again and again.
# It sets up paging and flat segments, runs the loop ROUNDS times, and says so on COM1.

.equ COM1, 0x3F8
.equ LINE_STATUS, 5
.equ TRANSMITTER_EMPTY, 0x20
.equ PAGE_PRESENT_WRITABLE_LARGE, 0x83
.equ CR0_PG_WP, 0x80010000
.equ CR4_PSE, 0x10
.equ EFLAGS_IF, 0x200

.section .text
.balign 4
multiboot:
    .long 0x1BADB002, 0, -0x1BADB002

.globl start
start:
    cli
    mov $stack_top, %esp
    lgdt gdt_register
    ljmp $0x08, $1f
1:  mov $0x10, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov %cr4, %eax
    or $CR4_PSE, %eax
    mov %eax, %cr4
    mov $page_directory, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    or $CR0_PG_WP, %eax
    mov %eax, %cr0
    mov $0xFF, %al                      # nothing may interrupt: no interrupt has a handler
    out %al, $0x21
    out %al, $0xA1

    mov $ROUNDS, %ebx
round:
    call irq_save
    call irq_restore
    call irq_disable
    call irq_enable
    dec %ebx
    jnz round

    cli
    mov $done, %esi
2:  mov $COM1 + LINE_STATUS, %dx
    in %dx, %al
    test $TRANSMITTER_EMPTY, %al
    jz 2b
    lodsb
    test %al, %al
    jz 3f
    mov $COM1, %dx
    out %al, %dx
    jmp 2b
3:  cli
    hlt
    jmp 3b

.balign 16
irq_save:
    pushf
    pop %edi
    cli
    add $1, %ecx
    ret

.balign 16
irq_restore:
    sub $1, %ecx
    push %edi
    popf
    mov %edi, %eax
    ret

.balign 16
irq_disable:
    cli
    lea 4(%ecx), %edx
    ret

.balign 16
irq_enable:
    test $EFLAGS_IF, %edi
    mov %edx, %eax
    sti
    nop
    ret

done:
    .asciz "IRQ LOOP DONE\r\n"

.section .data
.balign 4096
page_directory:
    .long PAGE_PRESENT_WRITABLE_LARGE
    .fill 1023, 4, 0
gdt:                                    # in a page without code: raw mode leaves code beside a descriptor table to the recompiler
    .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdt_register:
    .word . - gdt - 1
    .long gdt

.section .bss
.balign 16
    .skip 4096
stack_top:
