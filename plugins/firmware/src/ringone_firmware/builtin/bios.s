; The built-in BIOS's ROM: hands without a head. Every service stub saves the registers, tells the service chip where they are, and then does the port and
; memory accesses that the chip asks for, until it says "done". Offsets are in segment F000h; the fixed ones are IBM's, which old programs jump to.
;
; FRAME (dword, write): SS:SP of the saved registers, begins a call.
; STEP (dword, read): operation in bits 0-7, its first argument in bits 16-31.
; OPERAND (dword): further arguments on read, answers on write. DATA: bytes to store or fetched bytes.

org CODE

; --- Power-on ---------------------------------------------------------------------------------------------------------------------------------------------

post:   cli
        cld
        xor ax, ax
        mov ss, ax
        mov sp, BOOT_STACK
        pushf
        push cs
        call power_on_self_test
        sti
        int 0x19
        jmp post

power_on_self_test:
        push VECTOR_POST
        jmp serve

; A boot starts with a fresh stack, wherever its caller's was.
int19:  mov cx, VECTOR_BOOT
        jmp boot
int18:  mov cx, VECTOR_NEXT_BOOT
boot:   cli
        xor ax, ax
        mov ss, ax
        mov sp, BOOT_STACK
        push EFLAGS_IF
        push cs
        push post
        push cx
        jmp serve

; Nothing could be booted.
idle:   sti
        hlt
        jmp idle

; A Linux image's 16-bit setup: all segments are its own.
enter_setup:
        cli
        mov ax, SETUP_SEGMENT
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov sp, SETUP_STACK
        jmp SETUP_SEGMENT + 0x20:0

; --- Service loop -----------------------------------------------------------------------------------------------------------------------------------------

int05:  push 0x05
        jmp serve
int10:  push 0x10
        jmp serve
int11:  push 0x11
        jmp serve
int12:  push 0x12
        jmp serve
int13:  push 0x13
        jmp serve
int14:  push 0x14
        jmp serve
int15:  push 0x15
        jmp serve
int16:  push 0x16
        jmp serve
int17:  push 0x17
        jmp serve
int1a:  push 0x1A
        jmp serve
scancode:
        push VECTOR_SCANCODE

serve:  pushad
        push ds
        push es
        cld
again:  mov ax, ss
        shl eax, 16
        mov ax, sp
        mov dx, FRAME
        out dx, eax
step:   mov dx, STEP
        in eax, dx
        movzx bx, al
        shr eax, 16
        mov dx, OPERAND
        jmp word [cs:bx+operations]

operations:
        dw done, outs, in_byte, in_word, in_dword, store, fetch, move, fill, halt, spin

done:   pop es
        pop ds
        popad
        add sp, 2
        iret

; ax = how many; each is a port and size, then a value
outs:   mov cx, ax
next_out:
        in eax, dx
        mov si, ax
        shr eax, 16
        mov bx, ax
        in eax, dx
        mov dx, si
        cmp bx, 2
        jb out_byte
        je out_word
        out dx, eax
        jmp out_done
out_word:
        out dx, ax
        jmp out_done
out_byte:
        out dx, al
out_done:
        mov dx, OPERAND
        loop next_out
        jmp step

; ax = port
in_byte:
        mov dx, ax
        xor eax, eax
        in al, dx
        jmp answer
in_word:
        mov dx, ax
        xor eax, eax
        in ax, dx
        jmp answer
in_dword:
        mov dx, ax
        in eax, dx
answer: mov dx, OPERAND
        out dx, eax
        jmp step

; ax = segment; offset and count in bytes
store:  mov es, ax
        in eax, dx
        mov di, ax
        shr eax, 16
        mov cx, ax
        mov bx, ax
        mov dx, DATA
        shr cx, 2
        rep insd
        mov cx, bx
        and cx, 3
        rep insb
        jmp step

fetch:  mov ds, ax
        in eax, dx
        mov si, ax
        shr eax, 16
        mov cx, ax
        mov dx, DATA
        rep outsb
        jmp step

; ax = segment; source and target; count in words
move:   mov ds, ax
        mov es, ax
        in eax, dx
        mov si, ax
        shr eax, 16
        mov di, ax
        in eax, dx
        mov cx, ax
        cmp si, di
        jae forward
        std
        dec ax
        add ax, ax
        add si, ax
        add di, ax
forward:
        rep movsw
        cld
        jmp step

; ax = segment; offset and count in words; value
fill:   mov es, ax
        in eax, dx
        mov di, ax
        shr eax, 16
        mov cx, ax
        in eax, dx
        rep stosw
        jmp step

; Wait for an interrupt, or only let one in, and ask again.
halt:   sti
        hlt
        cli
        jmp again
spin:   sti
        nop
        nop
        cli
        jmp again

; --- Hardware interrupts ----------------------------------------------------------------------------------------------------------------------------------

irq0:   push ds
        push eax
        push edx
        mov ax, BDA_SEGMENT
        mov ds, ax
        inc dword [TIMER_TICKS]
        cmp dword [TIMER_TICKS], TICKS_A_DAY
        jb same_day
        mov dword [TIMER_TICKS], 0
        inc byte [TIMER_MIDNIGHT]
same_day:
        int 0x1C
        cli
        mov al, EOI
        out PIC1, al
        pop edx
        pop eax
        pop ds
        iret

irq1:   push ax
        in al, KEYBOARD_DATA
        mov ah, 0x4F
        stc
        int 0x15
        jnc key_taken
        pushf
        push cs
        call scancode
key_taken:
        cli
        mov al, EOI
        out PIC1, al
        cmp ah, KEY_BREAK
        jne no_break
        int 0x1B
no_break:
        pop ax
        iret

irq6:   push ds
        push ax
        mov ax, BDA_SEGMENT
        mov ds, ax
        or byte [FLOPPY_RECALIBRATE], 0x80
        pop ax
        pop ds
irq_low:
        push ax
        mov al, EOI
        out PIC1, al
        pop ax
        iret

irq8:   push ax
        mov al, RTC_REGISTER_C
        out RTC_INDEX, al
        in al, RTC_DATA
        pop ax
        jmp irq_high

irq12:  push ax
        in al, KEYBOARD_DATA
        pop ax
        jmp irq_high

irq13:  push ax
        xor al, al
        out FPU_BUSY, al
        pop ax
irq_high:
        push ax
        mov al, EOI
        out PIC2, al
        out PIC1, al
        pop ax
        iret

; --- Places that programs know ----------------------------------------------------------------------------------------------------------------------------

        org 0xE05B
        jmp post
        org 0xE3FE
        jmp int13
        org 0xE6F2
        jmp int19
        org CONFIGURATION_TABLE
        dw 8
        db MODEL, 0, 1, FEATURE_1, 0, 0, 0, 0
        org 0xE739
        jmp int14
        org 0xE82E
        jmp int16
        org 0xE987
        jmp irq1
        org 0xEC59
        jmp int13
        org 0xEF57
        jmp irq6
        org DISKETTE_TABLE
        db 0xAF, 0x02, 0x25, 0x02, 18, 0x1B, 0xFF, 0x6C, 0xF6, 0x0F, 0x08
        org 0xEFD2
        jmp int17
        org 0xF065
        jmp int10
        org 0xF841
        jmp int12
        org 0xF84D
        jmp int11
        org 0xF859
        jmp int15
        org 0xFE6E
        jmp int1a
        org 0xFEA5
        jmp irq0
        org DUMMY_IRET
        iret
        org 0xFF54
        jmp int05
        org 0xFFF0
        jmp 0xF000:post
        org 0xFFF5
        db "01/01/26", 0, MODEL, 0
