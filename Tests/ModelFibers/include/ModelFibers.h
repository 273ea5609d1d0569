// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Fibres for the model checker: stacks that take turns on one OS thread.
//
// A fibre is entered once, by the first switch to it, and never returns from its entry: to be used again it loops and
// switches away at the end of each turn. So nothing has to be rewound, and the same interface can be served by threads
// that hand a baton to each other where no assembly switch is written (ModelFibers.c).

#ifndef MODEL_FIBERS_H
#define MODEL_FIBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mf_fiber mf_fiber;
typedef void (*mf_entry)(void *_Nullable context);

/// Whether the fibres made from now on are OS threads that hand a baton to each other: slow, but code that keeps
/// something in thread-local storage across a switch, as Swift's tasks do, can run on them. All fibres that switch to
/// each other must be of one kind.
void mf_use_threads(bool threads);

/// A fibre that stands for the calling thread's own stack.
mf_fiber *_Nonnull mf_adopt_thread(void);

/// A fibre that will run `entry(context)`, which must not return, when first switched to.
mf_fiber *_Nonnull mf_create(size_t stack_bytes, mf_entry _Nonnull entry, void *_Nullable context);

/// Leaves `from`, which is running, and continues `to`.
void mf_switch(mf_fiber *_Nonnull from, mf_fiber *_Nonnull to);

/// Gives the stack back; whatever is still on it is forgotten without being destroyed.
void mf_destroy(mf_fiber *_Nonnull fiber);

/// Runs `body(context)` on a new OS thread of its own and waits for its end. On that thread, and on its fibres,
/// `mf_is_engaged()` is true.
void mf_run_on_thread(size_t stack_bytes, mf_entry _Nonnull body, void *_Nullable context);

extern _Thread_local bool mf_engaged_flag;

/// Does the caller run under `mf_run_on_thread`?
static inline bool mf_is_engaged(void) { return mf_engaged_flag; }

#endif
