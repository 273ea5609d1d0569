// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The C twin of the floor of a pair. Swift's `Atomic.add` and C's must cost the same, or the floor that every ratio of
// the report divides by is a property of the compiler and not of the machine.

#include "AllocationCounter.h"

struct two_lines {
    _Alignas(128) int64_t first;
    _Alignas(128) int64_t second;
};

int64_t bench_floor_two_adds(int64_t iterations) {
    struct two_lines words = {0, 0};
    // The address escapes, so the adds cannot be folded into one.
    struct two_lines *shared = &words;
    __asm__ volatile("" : "+r"(shared) : : "memory");
    for (int64_t i = 0; i < iterations; i++) {
        __atomic_fetch_add(&shared->first, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&shared->second, 1, __ATOMIC_RELAXED);
    }
    return __atomic_load_n(&shared->first, __ATOMIC_RELAXED) + __atomic_load_n(&shared->second, __ATOMIC_RELAXED);
}

uint64_t bench_core_probe(void) {
    uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
    for (int i = 0; i < 4000; i++) {
        // Six chains in registers, opaque to the vectoriser: bound by issue width, not by latency.
        for (int j = 0; j < 4; j++) {
            a += 3, b ^= a, c += 5, d ^= c, e += 7, f ^= e;
            __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
        }
    }
    return a ^ b ^ c ^ d ^ e ^ f;
}
