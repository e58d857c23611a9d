; Runs before a kernel that is entered without a BIOS: 32-bit flat, interrupts off, no stack.
; WRITES:  port (word), size (word: 1, 2, 4 or 0 at the end), value (dword). FONT: 256 characters of 16 bytes.
bits 32
        mov esi, WRITES
        mov dx, INPUT_STATUS_1
        in al, dx
next:   movzx edx, word [esi]
        movzx ecx, word [esi+2]
        mov eax, [esi+4]
        add esi, 8
        cmp ecx, 1
        jb font
        je byte_write
        cmp ecx, 2
        je word_write
        out dx, eax
        jmp next
word_write:
        out dx, ax
        jmp next
byte_write:
        out dx, al
        jmp next

; The first run ends with plane 2 open, the second with the text screen back.
font:   cmp esi, WRITES_END
        je screen
        mov ebx, esi
        mov esi, FONT
        mov edi, 0xA0000
        mov edx, 256
glyph:  mov ecx, 4
        rep movsd
        add edi, 16
        dec edx
        jnz glyph
        mov esi, ebx
        jmp next

screen: mov edi, 0xB8000
        mov eax, 0x07200720
        mov ecx, 80 * 25 // 2
        rep stosd

        mov eax, KERNEL_EAX
        mov ebx, KERNEL_EBX
        mov esi, KERNEL_ESI
        xor edx, edx
        xor ebp, ebp
        xor edi, edi
        jmp KERNEL_SEGMENT:KERNEL_ENTRY
