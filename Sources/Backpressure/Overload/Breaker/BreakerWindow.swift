// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The calls that a circuit breaker judges by: the last n of them, or those of the last so much time.
//
// ## Invariants
// I1  `tally` is the sum of what is in the window: the newest results, never the oldest.

/// Calls, and how many of them failed or were slow.
struct BreakerTally: RollingCount {
    var calls = 0
    var failures = 0
    var slow = 0

    static func += (left: inout BreakerTally, right: BreakerTally) {
        left.calls += right.calls
        left.failures += right.failures
        left.slow += right.slow
    }

    static func -= (left: inout BreakerTally, right: BreakerTally) {
        left.calls -= right.calls
        left.failures -= right.failures
        left.slow -= right.slow
    }

    /// The part of the calls; 0 when there was none.
    func rate(_ count: Int) -> Double { calls == 0 ? 0 : Double(count) / Double(calls) }
}

/// A window over results.
struct BreakerWindow: Sendable {
    private enum Storage: Sendable {
        /// A ring: bit 0 says that a call is in it, bit 1 that it failed, bit 2 that it was slow.
        case calls(ring: [UInt8], next: Int, tally: BreakerTally)
        case time(RollingCounts<BreakerTally>)
    }

    private var storage: Storage

    init(_ window: BreakerRules.Window) {
        switch window {
        case .calls(let count):
            storage = .calls(ring: Array(repeating: 0, count: count), next: 0, tally: BreakerTally())
        case .time(let duration):
            storage = .time(RollingCounts(window: duration.saturatingNanoseconds, buckets: 10))
        }
    }

    /// The calls of the window, as of the last change.
    var tally: BreakerTally {
        switch storage {
        case .calls(_, _, let tally): tally
        case .time(let counts): counts.total
        }
    }

    /// The calls of the window at `now`: without those that time has passed over since the last change.
    func tally(at now: Int64) -> BreakerTally {
        guard case .time(var counts) = storage else { return tally }
        counts.advance(to: now)
        return counts.total
    }

    mutating func add(_ call: BreakerTally, at now: Int64) {
        switch storage {
        case .calls(var ring, var next, var tally):
            // The array must have one owner while it is written to.
            storage = .calls(ring: [], next: 0, tally: tally)
            let old = ring[next]
            tally -= BreakerTally(calls: Int(old & 1), failures: Int(old >> 1 & 1), slow: Int(old >> 2 & 1))
            tally += call
            ring[next] = 1 | UInt8(call.failures) << 1 | UInt8(call.slow) << 2
            next = next + 1 == ring.count ? 0 : next + 1
            storage = .calls(ring: ring, next: next, tally: tally)
        case .time(var counts):
            storage = .calls(ring: [], next: 0, tally: BreakerTally())
            counts.add(call, at: now)
            storage = .time(counts)
        }
    }

    mutating func clear() {
        switch storage {
        case .calls(let ring, _, _):
            storage = .calls(ring: Array(repeating: 0, count: ring.count), next: 0, tally: BreakerTally())
        case .time(var counts):
            counts.clear()
            storage = .time(counts)
        }
    }
}
