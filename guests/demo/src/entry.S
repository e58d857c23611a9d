# The kernel's door: its start, the interrupt stubs, what has to be said in assembly, and the start of a user program.

.equ KERNEL_DATA, 0x10
.equ SYS_EXIT, 0
.equ VECTORS, 48
.equ SYSTEM_CALL, 0x80

.section .text.start, "ax"
.globl _start
_start:
    mov $stack_top, %esp
    mov $bss_start, %edi
    mov $bss_end, %ecx
    sub %edi, %ecx
    xor %eax, %eax
    cld
    rep stosb
    call kernel_main
1:  hlt
    jmp 1b

.text
# Every vector ends in interrupt_common with the same frame on the stack (struct frame): those that push no error code push a zero.
.macro stub vector
stub_\vector:
    .if !((\vector == 8) | ((\vector >= 10) & (\vector <= 14)) | (\vector == 17))
    push $0
    .endif
    push $\vector
    jmp interrupt_common
.endm

.altmacro
.macro stub_number vector
    stub \vector
.endm
.set vector, 0
.rept VECTORS
    stub_number %vector
    .set vector, vector + 1
.endr
stub_number %SYSTEM_CALL

interrupt_common:
    pusha
    push %ds
    push %es
    push %fs
    push %gs
    mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    cld
    push %esp
    call interrupt                      # returns the frame to go on with: another task's after a switch
    mov %eax, %esp
    pop %gs
    pop %fs
    pop %es
    pop %ds
    popa
    add $8, %esp
    iret

# Accesses that may fault: the fault handler goes on at `recovery`, where it is not zero.
.globl probe_read, probe_write, probe_divide
probe_read:                             # u32 probe_read(u32 address)
    movl $probe_end, recovery
    mov 4(%esp), %eax
    mov (%eax), %eax
    jmp probe_end
probe_write:                            # void probe_write(u32 address, u32 value)
    movl $probe_end, recovery
    mov 4(%esp), %eax
    mov 8(%esp), %edx
    mov %edx, (%eax)
    jmp probe_end
probe_divide:                           # u32 probe_divide(u32 by)
    movl $probe_end, recovery
    mov $1, %eax
    xor %edx, %edx
    divl 4(%esp)
probe_end:
    movl $0, recovery
    ret

.globl load_segments
load_segments:                          # void load_segments(void): after LGDT
    ljmp $0x08, $1f
1:  mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    ret

.section .rodata
.globl stub_addresses, system_call_stub
stub_addresses:
.macro stub_address vector
    .long stub_\vector
.endm
.set vector, 0
.rept VECTORS
    stub_address %vector
    .set vector, vector + 1
.endr
system_call_stub: .long stub_128

.section .user.start, "ax"
.globl user_start
user_start:                             # EAX: which program
    push %eax
    call user_main
    mov %eax, %ebx
    mov $SYS_EXIT, %eax
    int $SYSTEM_CALL

.bss
.balign 16
    .skip 8192
stack_top:
.globl recovery
recovery: .long 0
