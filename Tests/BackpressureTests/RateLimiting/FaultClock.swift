// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A clock for one thread that reads what it is told to, and a course of time with every fault a clock can have.

import BackpressureTestSupport

/// Reads the nanoseconds that were put in; cheap, and not for several threads.
final class FaultClock: Clock, @unchecked Sendable {
    struct Instant: InstantProtocol {
        var nanoseconds: Int64

        func advanced(by duration: Duration) -> Instant {
            Instant(nanoseconds: nanoseconds + Int64(duration / .nanoseconds(1)))
        }
        func duration(to other: Instant) -> Duration { .nanoseconds(other.nanoseconds - nanoseconds) }
        static func < (lhs: Instant, rhs: Instant) -> Bool { lhs.nanoseconds < rhs.nanoseconds }
    }

    var reading: Int64 = 0

    var now: Instant { Instant(nanoseconds: reading) }
    var minimumResolution: Duration { .nanoseconds(1) }

    func sleep(until deadline: Instant, tolerance: Duration?) async throws { throw CancellationError() }
}

/// Demand in phases (bursts, steady, sparse, idle) under a clock that stands still, jumps and steps back.
struct TimeCourse {
    private var numbers: SplitMix64
    private let interval: Int64
    private var time: Int64 = 0
    private var phase = 0
    private var left = 0
    private var fault: Int64 = 0
    private var faulty = 0
    private var decades = 0

    /// `interval` is about a token's time.
    init(seed: UInt64, interval: Int64) {
        numbers = SplitMix64(seed: seed)
        self.interval = max(1, interval)
    }

    private mutating func number(_ range: ClosedRange<Int64>) -> Int64 { Int64.random(in: range, using: &numbers) }

    /// The reading for the next request, and its size up to `most`.
    mutating func next(most: Int) -> (reading: Int64, count: Int) {
        if left == 0 {
            phase = Int(number(0...3))
            left = Int(number(1...200))
            jump()
        }
        left -= 1
        switch phase {
        case 0: break
        case 1: time += number(0...interval)
        case 2: time += number(0...(4 * interval))
        default: time += interval / 3
        }
        if faulty > 0 { faulty -= 1 } else { fault = 0 }
        // Nine in ten are for a single token.
        let count = number(0...9) > 0 ? 1 : Int(number(1...Int64(most)))
        return (time - fault, count)
    }

    private mutating func jump() {
        let hour: Int64 = 3_600_000_000_000
        switch number(0...99) {
        case 0...9: time += number(1...(1_000 * interval))
        case 10...12: time += number(1...hour) / 1_000
        case 13: if time < 1 << 60 { time += hour }
        case 14: if time < 1 << 59 { time += 24 * hour }
        case 15:
            // Ten years, a few times: an Int64 of nanoseconds has 292.
            guard decades < 8 else { break }
            decades += 1
            time += 10 * 365 * 24 * hour
        case 16...30: step(back: number(1...3))
        case 31...40: step(back: number(1...(100 * interval)))
        case 41...42: step(back: hour)
        case 43: step(back: 10 * 365 * 24 * hour)
        case 44: step(back: time + number(0...interval))
        default: break
        }
    }

    /// The clock reads less for a while.
    private mutating func step(back distance: Int64) {
        fault = distance
        faulty = Int(number(1...40))
    }
}
