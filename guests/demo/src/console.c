/* The console: 80 x 25 VGA text with a scrolling screen and a cursor, and a 16550 at COM1 with the same text. */
#include "kernel.h"

enum { COLUMNS = 80, ROWS = 25, CRTC = 0x3D4, CURSOR_HIGH = 0x0E, CURSOR_LOW = 0x0F };
enum { COM1 = 0x3F8, IER = 1, DLL = 0, DLM = 1, FCR = 2, LCR = 3, MCR = 4, LSR = 5 };
enum { LCR_8N1 = 0x03, LCR_DLAB = 0x80, FCR_ENABLE_AND_CLEAR = 0x07, MCR_DTR_RTS = 0x03, LSR_THRE = 0x20 };

static volatile u16 *const screen = (volatile u16 *)0xB8000;
static u32 column, row;
static u8 colour;

void console_start(void) {
    out8(COM1 + IER, 0);
    out8(COM1 + LCR, LCR_DLAB);
    out8(COM1 + DLL, 1); /* 115,200 bit/s */
    out8(COM1 + DLM, 0);
    out8(COM1 + LCR, LCR_8N1);
    out8(COM1 + FCR, FCR_ENABLE_AND_CLEAR);
    out8(COM1 + MCR, MCR_DTR_RTS);
    colour = GREY;
    for (u32 i = 0; i < COLUMNS * ROWS; i++) screen[i] = GREY << 8 | ' ';
}

static void send(char character) {
    for (u32 patience = 100000; !(in8(COM1 + LSR) & LSR_THRE) && patience; patience--) {}
    out8(COM1, character);
}

static void scroll(void) {
    for (u32 i = 0; i < COLUMNS * (ROWS - 1); i++) screen[i] = screen[i + COLUMNS];
    for (u32 i = COLUMNS * (ROWS - 1); i < COLUMNS * ROWS; i++) screen[i] = GREY << 8 | ' ';
    row = ROWS - 1;
}

static void place_cursor(void) {
    u32 at = row * COLUMNS + column;
    out8(CRTC, CURSOR_HIGH);
    out8(CRTC + 1, at >> 8);
    out8(CRTC, CURSOR_LOW);
    out8(CRTC + 1, at);
}

static void put(char character) {
    if (character == '\n') {
        send('\r');
        column = 0;
        row++;
    } else {
        screen[row * COLUMNS + column] = colour << 8 | (u8)character;
        if (++column == COLUMNS) {
            column = 0;
            row++;
        }
    }
    send(character);
    if (row == ROWS) scroll();
    place_cursor();
}

/* Whole, even where the keyboard's interrupt prints too. */
void print_character(char character) {
    u32 flags = interrupts_saved();
    put(character);
    interrupts_restored(flags);
}

void print(const char *text) {
    while (*text) print_character(*text++);
}

void print_coloured(const char *text, u8 with) {
    colour = with;
    print(text);
    colour = GREY;
}

void print_decimal(u32 value) {
    char digits[11];
    u32 at = sizeof digits - 1;
    digits[at] = 0;
    do digits[--at] = '0' + value % 10;
    while (value /= 10);
    print(digits + at);
}

void print_hex(u32 value) {
    for (int shift = 28; shift >= 0; shift -= 4) print_character("0123456789ABCDEF"[value >> shift & 15]);
}
