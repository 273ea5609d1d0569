// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Token buckets: the library's, and what people write by hand: a Mutex, or an actor, around two doubles.
//
// A bucket of 10^9 tokens a second is asked from one thread and always has one; a bucket of one an hour never does.
// Everybody reads the system's clock, ours through the default clock of the library.

import Backpressure
import Synchronization

private let plenty = (rate: 1e9, burst: 1e6)

private func verify(_ allowed: Int, of operations: Int, expected: Bool, in place: String) throws(HardFailure) {
    guard allowed == (expected ? operations : 0) else {
        throw HardFailure(text: "\(place): \(allowed) of \(operations) were allowed")
    }
}

// MARK: - Floor

/// One reading of the clock and one compare-exchange: the least that a limiter without a lock can cost.
enum ClockAndExchange {
    static let name = "clock + CAS"

    static let floor = Contender(name, floor: true) { operations in
        let word = Atomic<UInt64>(0)
        var exchanged = 0
        let meter = Meter.begin()
        for _ in 0..<operations {
            let old = word.load(ordering: .relaxed)
            let now = UInt64(truncatingIfNeeded: Platform.nanoseconds())
            let next = max(old, now) &+ 1
            if word.compareExchange(expected: old, desired: next, ordering: .acquiringAndReleasing).exchanged {
                exchanged += 1
            }
        }
        let sample = meter.end(operations: operations)
        try verify(exchanged, of: operations, expected: true, in: name)
        return sample
    }
}

// MARK: - Ours

enum OurBucket {
    static let name = "TokenBucket"

    static let allowed = Contender(name, ours: true) { operations in
        try run(plentiful(), operations, expected: true)
    }

    static let denied = Contender(name, ours: true) { operations in
        try run(TokenBucket(rate: .perHour(1), burst: 1, initialTokens: 0), operations, expected: false)
    }

    /// A bucket that always has a token.
    static func plentiful() -> TokenBucket { TokenBucket(rate: .perSecond(1_000_000_000), burst: 1_000_000) }

    @inline(never)
    static func run(_ limiter: TokenBucket, _ operations: Int, expected: Bool) throws -> Sample {
        var allowed = 0
        let meter = Meter.begin()
        for _ in 0..<operations where limiter.tryAcquire().isAllowed { allowed += 1 }
        let sample = meter.end(operations: operations)
        try verify(allowed, of: operations, expected: expected, in: name)
        return sample
    }
}

enum OurKeyed {
    static let name = "KeyedRateLimiter"

    static func contender(keys: Int) -> Contender {
        let limiter = KeyedRateLimiter<Int>(rate: .perSecond(1_000), burst: 1_000_000, maxKeys: 2 * keys)
        return Contender(name, ours: true) { operations in
            var allowed = 0
            let demand = ZipfKeys.demand(for: keys)
            let mask = demand.keys.count - 1
            let meter = Meter.begin()
            for index in 0..<operations where limiter.tryAcquire(for: demand.keys[index & mask]).isAllowed {
                allowed += 1
            }
            let sample = meter.end(operations: operations)
            guard allowed > 0 else { throw HardFailure(text: "\(name): nothing was allowed") }
            return sample
        }
    }
}

// MARK: - Rivals

/// What is usually written: tokens and the time of the last refill, as doubles.
private struct DoubleBucket: Sendable {
    var tokens: Double
    var last: Double

    @inline(__always)
    mutating func take(rate: Double, burst: Double) -> Bool {
        let now = Double(Platform.nanoseconds())
        tokens = min(burst, tokens + (now - last) * rate / 1e9)
        last = now
        guard tokens >= 1 else { return false }
        tokens -= 1
        return true
    }
}

private final class MutexBucket: Sendable {
    private let state: Mutex<DoubleBucket>
    private let rate: Double
    private let burst: Double

    init(rate: Double, burst: Double, tokens: Double) {
        self.rate = rate
        self.burst = burst
        state = Mutex(DoubleBucket(tokens: tokens, last: Double(Platform.nanoseconds())))
    }

    @inline(__always)
    func tryAcquire() -> Bool { state.withLock { $0.take(rate: rate, burst: burst) } }
}

private actor ActorBucket {
    private var state: DoubleBucket
    private let rate: Double
    private let burst: Double

    init(rate: Double, burst: Double, tokens: Double) {
        self.rate = rate
        self.burst = burst
        state = DoubleBucket(tokens: tokens, last: Double(Platform.nanoseconds()))
    }

    func tryAcquire() -> Bool { state.take(rate: rate, burst: burst) }
}

enum RivalBuckets {
    static let mutexName = "Mutex + doubles"
    static let actorName = "actor + doubles"

    static let mutex = Contender(mutexName) { operations in
        try run(MutexBucket(rate: plenty.rate, burst: plenty.burst, tokens: plenty.burst), operations, expected: true)
    }

    static let mutexDenied = Contender(mutexName) { operations in
        try run(MutexBucket(rate: 1 / 3_600, burst: 1, tokens: 0), operations, expected: false)
    }

    static let actor = Contender(actorName) { operations in
        let bucket = ActorBucket(rate: plenty.rate, burst: plenty.burst, tokens: plenty.burst)
        return try await run(bucket, operations, expected: true)
    }

    static let actorDenied = Contender(actorName) { operations in
        try await run(ActorBucket(rate: 1 / 3_600, burst: 1, tokens: 0), operations, expected: false)
    }

    @inline(never)
    private static func run(_ bucket: MutexBucket, _ operations: Int, expected: Bool) throws -> Sample {
        var allowed = 0
        let meter = Meter.begin()
        for _ in 0..<operations where bucket.tryAcquire() { allowed += 1 }
        let sample = meter.end(operations: operations)
        try verify(allowed, of: operations, expected: expected, in: mutexName)
        return sample
    }

    @inline(never)
    private static func run(_ bucket: ActorBucket, _ operations: Int, expected: Bool) async throws -> Sample {
        var allowed = 0
        let meter = Meter.begin()
        for _ in 0..<operations where await bucket.tryAcquire() { allowed += 1 }
        let sample = meter.end(operations: operations)
        try verify(allowed, of: operations, expected: expected, in: actorName)
        return sample
    }
}

/// A dictionary of such buckets, without eviction and without a cap.
private struct DoubleBuckets: Sendable {
    var buckets: [Int: DoubleBucket] = [:]

    @inline(__always)
    mutating func take(_ key: Int) -> Bool {
        let fresh = DoubleBucket(tokens: 1e6, last: 0)
        return buckets[key, default: fresh].take(rate: 1_000, burst: 1e6)
    }
}

private actor ActorBuckets {
    private var state = DoubleBuckets()

    func tryAcquire(_ key: Int) -> Bool { state.take(key) }
}

private final class MutexBuckets: Sendable {
    private let state = Mutex(DoubleBuckets())

    @inline(__always)
    func tryAcquire(_ key: Int) -> Bool { state.withLock { $0.take(key) } }
}

enum RivalKeyed {
    static let mutexName = "Mutex + dictionary of doubles"

    static func mutex(keys: Int) -> Contender {
        let limiter = MutexBuckets()
        return Contender(mutexName) { operations in
            var allowed = 0
            let demand = ZipfKeys.demand(for: keys)
            let mask = demand.keys.count - 1
            let meter = Meter.begin()
            for index in 0..<operations where limiter.tryAcquire(demand.keys[index & mask]) { allowed += 1 }
            let sample = meter.end(operations: operations)
            guard allowed > 0 else { throw HardFailure(text: "\(mutexName): nothing was allowed") }
            return sample
        }
    }

    static func actor(keys: Int) -> Contender {
        let limiter = ActorBuckets()
        return Contender("actor + dictionary of doubles") { operations in
            var allowed = 0
            let demand = ZipfKeys.demand(for: keys)
            let mask = demand.keys.count - 1
            let meter = Meter.begin()
            for index in 0..<operations where await limiter.tryAcquire(demand.keys[index & mask]) { allowed += 1 }
            let sample = meter.end(operations: operations)
            guard allowed > 0 else { throw HardFailure(text: "actor + dictionary: nothing was allowed") }
            return sample
        }
    }
}
