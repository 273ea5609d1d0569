// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Counts calls of the malloc family in this process, and holds the C twin of a benchmark floor.

#ifndef BACKPRESSURE_ALLOCATION_COUNTER_H
#define BACKPRESSURE_ALLOCATION_COUNTER_H

#include <stdbool.h>
#include <stdint.h>

/// Whether this build can count: glibc, and no sanitizer that owns malloc itself.
bool bench_allocations_available(void);

/// Counting is off at the start. While it is off, malloc pays one relaxed load.
void bench_allocations_enable(bool enabled);

/// Calls of malloc, calloc, realloc, memalign, aligned_alloc and posix_memalign, by all threads, while enabled.
int64_t bench_allocations_count(void);

/// Usable bytes allocated minus usable bytes freed, by all threads, while enabled.
int64_t bench_allocations_live_bytes(void);

/// The C twin of the floor of a pair: `iterations` times two relaxed atomic adds on lines 128 bytes apart.
/// Returns the sum of the two words, which is `2 * iterations`.
int64_t bench_floor_two_adds(int64_t iterations);

/// Arithmetic that fills every issue slot of a core for some 20 microseconds. Touches no memory; returns a value that
/// means nothing, so that it is not optimised away.
uint64_t bench_core_probe(void);

/// The compiler of the C part, for the report.
const char *bench_c_compiler(void);

#endif
