// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Interposes the malloc family over glibc's `__libc_*` entry points, because glibc has no malloc hooks any more and
// mallinfo2 counts bytes, not calls. An executable's own `malloc` also serves the shared libraries it loads, so the
// Swift runtime's allocations are seen too.
//
// ## Invariants
// I1. While disabled, a call costs one relaxed load more than glibc's, so timed loops run disabled.
// I2. Counters are process-wide: what a parked task allocates on a pool thread is counted wherever it happens.
// I3. Under ASan and TSan nothing is interposed: they own malloc, and a second owner would break them.

// glibc declares malloc_usable_size and the memalign family only on request.
#define _GNU_SOURCE

#include "AllocationCounter.h"

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BENCH_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define BENCH_SANITIZED 1
#endif

#if defined(__linux__) && !defined(BENCH_SANITIZED)
#include <features.h>
#if defined(__GLIBC__)
#define BENCH_INTERPOSES 1
#endif
#endif

#if defined(BENCH_INTERPOSES)

#include <errno.h>
#include <malloc.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *pointer, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *pointer);

static int enabled_flag;
static _Alignas(128) int64_t call_count;
static _Alignas(128) int64_t live_bytes;

static inline bool counting(void) { return __atomic_load_n(&enabled_flag, __ATOMIC_RELAXED) != 0; }

static void record_allocated(void *pointer) {
    __atomic_fetch_add(&call_count, 1, __ATOMIC_RELAXED);
    if (pointer) {
        __atomic_fetch_add(&live_bytes, (int64_t)malloc_usable_size(pointer), __ATOMIC_RELAXED);
    }
}

static void record_freed(void *pointer) {
    if (pointer) {
        __atomic_fetch_sub(&live_bytes, (int64_t)malloc_usable_size(pointer), __ATOMIC_RELAXED);
    }
}

void *malloc(size_t size) {
    void *pointer = __libc_malloc(size);
    if (counting()) record_allocated(pointer);
    return pointer;
}

void *calloc(size_t count, size_t size) {
    void *pointer = __libc_calloc(count, size);
    if (counting()) record_allocated(pointer);
    return pointer;
}

void *realloc(void *pointer, size_t size) {
    if (!counting()) return __libc_realloc(pointer, size);
    // The old block's size must be read before it may be gone; a failed realloc leaves it alive.
    int64_t before = pointer ? (int64_t)malloc_usable_size(pointer) : 0;
    void *result = __libc_realloc(pointer, size);
    __atomic_fetch_add(&call_count, 1, __ATOMIC_RELAXED);
    if (result || size == 0) {
        int64_t after = result ? (int64_t)malloc_usable_size(result) : 0;
        __atomic_fetch_add(&live_bytes, after - before, __ATOMIC_RELAXED);
    }
    return result;
}

void *memalign(size_t alignment, size_t size) {
    void *pointer = __libc_memalign(alignment, size);
    if (counting()) record_allocated(pointer);
    return pointer;
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
    void *pointer = memalign(alignment, size);
    if (!pointer) return ENOMEM;
    *result = pointer;
    return 0;
}

void free(void *pointer) {
    if (counting()) record_freed(pointer);
    __libc_free(pointer);
}

bool bench_allocations_available(void) { return true; }
void bench_allocations_enable(bool enabled) { __atomic_store_n(&enabled_flag, enabled ? 1 : 0, __ATOMIC_RELAXED); }
int64_t bench_allocations_count(void) { return __atomic_load_n(&call_count, __ATOMIC_RELAXED); }
int64_t bench_allocations_live_bytes(void) { return __atomic_load_n(&live_bytes, __ATOMIC_RELAXED); }

#else

bool bench_allocations_available(void) { return false; }
void bench_allocations_enable(bool enabled) { (void)enabled; }
int64_t bench_allocations_count(void) { return 0; }
int64_t bench_allocations_live_bytes(void) { return 0; }

#endif

#if defined(__clang__)
const char *bench_c_compiler(void) { return "clang " __clang_version__; }
#else
const char *bench_c_compiler(void) { return __VERSION__; }
#endif
