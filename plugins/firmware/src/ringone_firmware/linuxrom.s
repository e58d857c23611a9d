; Option ROM that starts a Linux image which fw_cfg holds: a boot entry vector for the BIOS's boot order.
; Items come by fw_cfg's DMA interface: three numbers in 32 bits name an item's address, size and contents.
        dw 0xAA55
        db ROM_BLOCKS
        mov ax, PNP_IPL_DEVICE
        retf
        org 0x1A
        dw pnp
        align 4
pnp:    db "$PnP", 1, 2
        dw 0
        db 0, PNP_CHECKSUM
        dd 0
        dw 0, name
        db 2, 0, 0, PNP_IPL_CODE
        dw 0, 0, boot, 0, 0
name:   db "Linux image", 0

boot:   cld
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov cx, 4
        mov si, items
load:   push cx
        mov ax, [cs:si]
        call number
        mov edi, eax
        mov ax, [cs:si+2]
        call number
        mov ecx, eax
        movzx eax, word [cs:si+4]
        call fetch
        add si, 6
        pop cx
        loop load

        cli
        mov ax, SETUP_SEGMENT
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov sp, SETUP_STACK
        jmp SETUP_SEGMENT + 0x20:0

; ax = key of a 32-bit number -> eax
number: mov dx, FW_CFG_SELECTOR
        out dx, ax
        mov dx, FW_CFG_DATA
        mov bx, 4
        xor eax, eax
digit:  in al, dx
        ror eax, 8
        dec bx
        jnz digit
        ret

; eax = key, ecx bytes to edi. The descriptor is on the stack, big endian.
fetch:  jecxz fetched
        bswap edi
        push edi
        push 0
        push 0
        bswap ecx
        push ecx
        shl eax, 16
        or al, DMA_SELECT | DMA_READ
        bswap eax
        push eax
        xor eax, eax
        mov ax, ss
        shl eax, 4
        movzx ebx, sp
        add eax, ebx
        bswap eax
        mov dx, FW_CFG_DMA_LOW
        out dx, eax
        add sp, 16
fetched:
        ret

items:  dw SETUP_ADDR, SETUP_SIZE, SETUP_DATA
        dw CMDLINE_ADDR, CMDLINE_SIZE, CMDLINE_DATA
        dw KERNEL_ADDR, KERNEL_SIZE, KERNEL_DATA
        dw INITRD_ADDR, INITRD_SIZE, INITRD_DATA
