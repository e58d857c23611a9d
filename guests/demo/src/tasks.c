/* Ring-3 tasks: an address space each, preemptive round robin on the timer's interrupt, system calls through INT 80h. */
#include "kernel.h"
#include "user.h"

enum { MOST_TASKS = 12, STACK_TOP = USER_STACK + PAGE, EFLAGS_INTERRUPTS = 0x202 };

extern void user_start(void);
extern char user_load[], user_bytes[];

static struct task tasks[MOST_TASKS]; /* number 0 is the kernel, which runs when nobody else can */
static u32 task_count = 1, current;
static u32 shared_page;
volatile u32 *shared_ticks;

struct task *current_task(void) { return tasks + current; }
int multitasking(void) { return task_count > 1; }

void tasks_start(void) {
    shared_page = new_page();
    shared_ticks = (volatile u32 *)shared_page;
    tasks[0].directory = kernel_directory;
}

/* Interrupts stay off until run_tasks, so that several tasks start together. */
struct task *spawn(u32 program) {
    struct task *task = tasks + task_count;
    interrupts_off();
    task->directory = new_address_space();
    for (u32 offset = 0; offset < (u32)user_bytes; offset += PAGE) map(task->directory, USER_PROGRAM + offset, (u32)user_load + offset, USER);
    map(task->directory, USER_STACK, new_page(), USER | WRITABLE);
    map(task->directory, USER_SHARED, shared_page, USER);
    task->kernel_stack = (u8 *)new_page();
    task->context = (struct frame *)(task->kernel_stack + PAGE) - 1;
    *task->context = (struct frame){
        .ds = USER_DATA, .es = USER_DATA, .fs = USER_DATA, .gs = USER_DATA, .eax = program, .eip = (u32)user_start,
        .cs = USER_CODE, .eflags = EFLAGS_INTERRUPTS, .esp = STACK_TOP, .ss = USER_DATA,
    };
    task->runnable = 1;
    task_count++;
    return task;
}

static u32 next_task(void) {
    for (u32 i = 1; i < task_count; i++) {
        u32 candidate = (current + i - 1) % (task_count - 1) + 1;
        if (tasks[candidate].runnable) return candidate;
    }
    return current && tasks[current].runnable ? current : 0;
}

struct frame *schedule(struct frame *frame) {
    u32 next = next_task();
    tasks[current].context = frame;
    if (next == current) return frame;
    current = next;
    tasks[next].switches++;
    set_kernel_stack((u32)tasks[next].kernel_stack + PAGE);
    use_address_space(tasks[next].directory);
    return tasks[next].context;
}

struct frame *end_task(struct frame *frame, u32 code) {
    tasks[current].runnable = 0;
    tasks[current].exit_code = code;
    return schedule(frame);
}

/* A user's pointer is believed only inside the program's pages. */
static int in_program(u32 address) { return address - USER_PROGRAM < (u32)user_bytes; }

struct frame *system_call(struct frame *frame) {
    tasks[current].system_calls++;
    switch (frame->eax) {
    case SYS_EXIT: return end_task(frame, frame->ebx);
    case SYS_COUNT: frame->eax = tasks[current].system_calls; break;
    case SYS_PRINT:
        for (u32 at = frame->ebx; in_program(at) && *(const char *)at; at++) print_character(*(const char *)at);
        break;
    default: frame->eax = ~0u;
    }
    return frame;
}

static int any_runnable(void) {
    for (u32 i = 1; i < task_count; i++)
        if (tasks[i].runnable) return 1;
    return 0;
}

/* Until all have ended. The kernel's own thread sleeps; the timer takes it to the first task and the last one's end brings it back. */
void run_tasks(void) {
    while (any_runnable()) wait_for_interrupt();
    interrupts_on();
}
