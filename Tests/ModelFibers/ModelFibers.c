// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The fibres of ModelFibers.h: an assembly switch on x86-64 (System V) and arm64 (AAPCS64); threads with a baton
// elsewhere and wherever they are asked for; and stubs that abort where there are no POSIX threads (the package still
// builds there).
//
// ## Switch
// The callee-saved registers are pushed on the stack that is left, its stack pointer is stored, the other one is
// loaded, and the same registers are popped from there. A new stack is laid out as if it had been left just before
// entering a trampoline, whose two arguments lie in the slots of callee-saved registers.

#if !defined(_WIN32) && !defined(__wasi__)

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif
#if !defined(_DARWIN_C_SOURCE)
#define _DARWIN_C_SOURCE 1
#endif

#include "ModelFibers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

_Thread_local bool mf_engaged_flag = false;

static void die(const char *what) {
    fprintf(stderr, "ModelFibers: %s failed\n", what);
    abort();
}

struct thread_start {
    mf_entry body;
    void *context;
};

static void *thread_main(void *raw) {
    struct thread_start *start = raw;
    mf_engaged_flag = true;
    start->body(start->context);
    return NULL;
}

void mf_run_on_thread(size_t stack_bytes, mf_entry body, void *context) {
    struct thread_start start = {body, context};
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    if (pthread_create(&thread, &attributes, thread_main, &start) != 0) die("pthread_create");
    pthread_attr_destroy(&attributes);
    pthread_join(thread, NULL);
}

struct mf_fiber {
    void *stack_pointer;
    void *mapping;
    size_t mapping_bytes;
    // of a thread with a baton
    bool is_thread;
    pthread_mutex_t mutex;
    pthread_cond_t turn;
    bool may_run;
    mf_entry entry;
    void *context;
};

static bool makes_threads = false;

static mf_fiber *make_fiber(void) {
    mf_fiber *fiber = calloc(1, sizeof *fiber);
    if (!fiber) die("calloc");
    return fiber;
}

// ## Threads with a baton

static void wait_for_turn(mf_fiber *fiber) {
    pthread_mutex_lock(&fiber->mutex);
    while (!fiber->may_run) pthread_cond_wait(&fiber->turn, &fiber->mutex);
    fiber->may_run = false;
    pthread_mutex_unlock(&fiber->mutex);
}

static void *fiber_main(void *raw) {
    mf_fiber *fiber = raw;
    mf_engaged_flag = true;
    wait_for_turn(fiber);
    fiber->entry(fiber->context);
    abort();
}

static mf_fiber *make_thread_fiber(void) {
    mf_fiber *fiber = make_fiber();
    fiber->is_thread = true;
    pthread_mutex_init(&fiber->mutex, NULL);
    pthread_cond_init(&fiber->turn, NULL);
    return fiber;
}

static mf_fiber *create_thread(size_t stack_bytes, mf_entry entry, void *context) {
    mf_fiber *fiber = make_thread_fiber();
    pthread_attr_t attributes;
    pthread_t thread;
    fiber->entry = entry;
    fiber->context = context;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    if (pthread_create(&thread, &attributes, fiber_main, fiber) != 0) die("pthread_create");
    pthread_attr_destroy(&attributes);
    pthread_detach(thread);
    return fiber;
}

static void hand_over(mf_fiber *from, mf_fiber *to) {
    pthread_mutex_lock(&to->mutex);
    to->may_run = true;
    pthread_cond_signal(&to->turn);
    pthread_mutex_unlock(&to->mutex);
    wait_for_turn(from);
}

// ## Stacks of their own

#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(MODEL_FIBERS_USE_THREADS)

void mf_use_threads(bool threads) { makes_threads = threads; }

#define MF_STRINGIFY_(x) #x
#define MF_STRINGIFY(x) MF_STRINGIFY_(x)
#define MF_SYMBOL(name) MF_STRINGIFY(__USER_LABEL_PREFIX__) #name

void mf_swap_stacks(void **save, void *load);
void mf_trampoline(void);

#if defined(__x86_64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl " MF_SYMBOL(mf_swap_stacks) "\n"
        MF_SYMBOL(mf_swap_stacks) ":\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  retq\n"
        ".p2align 4\n"
        ".globl " MF_SYMBOL(mf_trampoline) "\n"
        MF_SYMBOL(mf_trampoline) ":\n"
        "  movq %r13, %rdi\n"
        "  callq *%r12\n"
        "  ud2\n");

static void *lay_out(char *top, mf_entry entry, void *context) {
    void **slot = (void **)(void *)(top - 72); // six registers, the return address, then a stack aligned to 16
    memset(slot, 0, 72);
    slot[2] = context;               // r13
    slot[3] = (void *)entry;         // r12
    slot[6] = (void *)mf_trampoline; // where the switch returns to
    return slot;
}
#else
__asm__(".text\n"
        ".p2align 4\n"
        ".globl " MF_SYMBOL(mf_swap_stacks) "\n"
        MF_SYMBOL(mf_swap_stacks) ":\n"
        "  sub sp, sp, #160\n"
        "  stp x19, x20, [sp, #0]\n  stp x21, x22, [sp, #16]\n  stp x23, x24, [sp, #32]\n"
        "  stp x25, x26, [sp, #48]\n  stp x27, x28, [sp, #64]\n  stp x29, x30, [sp, #80]\n"
        "  stp d8, d9, [sp, #96]\n  stp d10, d11, [sp, #112]\n"
        "  stp d12, d13, [sp, #128]\n  stp d14, d15, [sp, #144]\n"
        "  mov x9, sp\n  str x9, [x0]\n  mov sp, x1\n"
        "  ldp x19, x20, [sp, #0]\n  ldp x21, x22, [sp, #16]\n  ldp x23, x24, [sp, #32]\n"
        "  ldp x25, x26, [sp, #48]\n  ldp x27, x28, [sp, #64]\n  ldp x29, x30, [sp, #80]\n"
        "  ldp d8, d9, [sp, #96]\n  ldp d10, d11, [sp, #112]\n"
        "  ldp d12, d13, [sp, #128]\n  ldp d14, d15, [sp, #144]\n"
        "  add sp, sp, #160\n"
        "  ret\n"
        ".p2align 4\n"
        ".globl " MF_SYMBOL(mf_trampoline) "\n"
        MF_SYMBOL(mf_trampoline) ":\n"
        "  mov x0, x20\n"
        "  blr x19\n"
        "  brk #1\n");

static void *lay_out(char *top, mf_entry entry, void *context) {
    void **slot = (void **)(void *)(top - 160);
    memset(slot, 0, 160);
    slot[0] = (void *)entry;          // x19
    slot[1] = context;                // x20
    slot[11] = (void *)mf_trampoline; // x30
    return slot;
}
#endif

mf_fiber *mf_adopt_thread(void) { return makes_threads ? make_thread_fiber() : make_fiber(); }

mf_fiber *mf_create(size_t stack_bytes, mf_entry entry, void *context) {
    if (makes_threads) return create_thread(stack_bytes, entry, context);
    mf_fiber *fiber = make_fiber();
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = (stack_bytes + page - 1) / page * page + page;
    char *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (mapping == MAP_FAILED) die("mmap");
    if (mprotect(mapping, page, PROT_NONE) != 0) die("mprotect"); // the guard: an overflow faults at once
    fiber->mapping = mapping;
    fiber->mapping_bytes = bytes;
    fiber->stack_pointer = lay_out(mapping + bytes, entry, context);
    return fiber;
}

void mf_switch(mf_fiber *from, mf_fiber *to) {
    if (from->is_thread) return hand_over(from, to);
    mf_swap_stacks(&from->stack_pointer, to->stack_pointer);
}

// A thread that waits for its turn cannot be ended from outside: it and its fibre are left behind.
void mf_destroy(mf_fiber *fiber) {
    if (fiber->is_thread) return;
    if (fiber->mapping) munmap(fiber->mapping, fiber->mapping_bytes);
    free(fiber);
}

#else // nothing but threads

void mf_use_threads(bool threads) { (void)threads; }
mf_fiber *mf_adopt_thread(void) { return make_thread_fiber(); }
mf_fiber *mf_create(size_t stack_bytes, mf_entry entry, void *context) {
    return create_thread(stack_bytes, entry, context);
}
void mf_switch(mf_fiber *from, mf_fiber *to) { hand_over(from, to); }
void mf_destroy(mf_fiber *fiber) { (void)fiber; }

#endif

#else // no POSIX threads

#include "ModelFibers.h"

#include <stdlib.h>

_Thread_local bool mf_engaged_flag = false;
void mf_use_threads(bool threads) { abort(); }
mf_fiber *mf_adopt_thread(void) { abort(); }
mf_fiber *mf_create(size_t stack_bytes, mf_entry entry, void *context) { abort(); }
void mf_switch(mf_fiber *from, mf_fiber *to) { abort(); }
void mf_destroy(mf_fiber *fiber) { abort(); }
void mf_run_on_thread(size_t stack_bytes, mf_entry body, void *context) { abort(); }

#endif
