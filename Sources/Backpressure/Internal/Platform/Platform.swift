// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// All that differs by platform: the C library, which system clock Swift's clocks read and sleep on, powers, fresh pages.
//
// The readings are those of Swift's clocks, counted in nanoseconds from the clock's own epoch (the boot of the system).
// Asking the system directly costs two thirds of `ContinuousClock.now`. A timer must sleep on the clock that its
// deadlines were read from, so each function names the clock which Swift's runtime uses on that platform:
//
// | platform             | continuous (counts while asleep) | suspending      |
// |----------------------|----------------------------------|-----------------|
// | Linux, Android       | CLOCK_BOOTTIME                   | CLOCK_MONOTONIC |
// | Darwin               | CLOCK_MONOTONIC_RAW              | CLOCK_UPTIME_RAW|

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#else
    #error("the clocks of this platform are not known")
#endif

/// The system's clocks, as counts of nanoseconds.
enum PlatformClock {
    /// The reading of `ContinuousClock`.
    static func continuousNanoseconds() -> Int64 {
        var reading = timespec()
        #if canImport(Darwin)
            clock_gettime(CLOCK_MONOTONIC_RAW, &reading)
        #else
            clock_gettime(CLOCK_BOOTTIME, &reading)
        #endif
        return nanoseconds(reading)
    }

    /// The reading of `SuspendingClock`.
    static func suspendingNanoseconds() -> Int64 {
        var reading = timespec()
        #if canImport(Darwin)
            clock_gettime(CLOCK_UPTIME_RAW, &reading)
        #else
            clock_gettime(CLOCK_MONOTONIC, &reading)
        #endif
        return nanoseconds(reading)
    }

    /// Time since boot fits for 292 years.
    private static func nanoseconds(_ reading: timespec) -> Int64 {
        Int64(reading.tv_sec) * 1_000_000_000 + Int64(reading.tv_nsec)
    }
}

/// What the C library computes and Swift's own does not.
enum PlatformMath {
    /// `base` to the power of `exponent`.
    static func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
}

/// Pages of the system.
enum PlatformMemory {
    /// Pages that read as zero and are committed as they are touched; nil when the system has no room for them.
    static func map(byteCount: Int) -> UnsafeMutableRawPointer? {
        #if canImport(Darwin)
            let flags = MAP_PRIVATE | MAP_ANON | MAP_NORESERVE
        #else
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        #endif
        let memory = mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0)
        return memory == UnsafeMutableRawPointer(bitPattern: -1) ? nil : memory
    }

    /// Gives back what `map` gave.
    static func unmap(_ memory: UnsafeMutableRawPointer, byteCount: Int) { munmap(memory, byteCount) }
}
