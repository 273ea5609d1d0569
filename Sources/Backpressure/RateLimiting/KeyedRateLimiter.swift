// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A token bucket for each key: the facade of `KeyedCore`.

/// A token bucket for each of many keys: tenants, addresses, users.
///
/// A key that was never seen has a full bucket, and a bucket that is full again is forgotten when its place is needed,
/// so memory follows the keys in use. The number of keys has a hard cap.
///
/// ```swift
/// let limiter = KeyedRateLimiter<String>(rate: .perSecond(5), burst: 10, maxKeys: 100_000)
/// if limiter.tryAcquire(for: "tenant 7").isAllowed { print("go") }
///
/// let tenant = limiter.limiter(for: "tenant 7")
/// try await tenant.acquire(2)
/// ```
///
/// ## At the cap
/// A new key takes the place of another one: the one closest to full of those looked at. If that bucket was not full,
/// its key starts afresh when it comes back, and what it was missing is forgiven. So each key's windows hold no more
/// than burst + rate · t and what it was forgiven, and ``Snapshot/forgivenTokens`` says what all keys were forgiven
/// together. Where that stays at 0 every bound is exact. The time t is the furthest reading of the clock in the key's
/// shard: only a clock that steps back tells shards apart.
///
/// - **Order**: the tasks that wait for one key are served in the order in which they began to wait. Their tokens are
///   booked as they come: a task that is cancelled gives its tokens back only if it was its key's last.
/// - **Cost**: hashing the key and one lock, of one of `shards`; no allocation for a key that has its place. The key,
///   its hash and 16 bytes each take their place in a table that is at least three eighths full at the cap.
public final class KeyedRateLimiter<Key: Hashable & Sendable>: Sendable {
    @usableFromInline let core: KeyedCore
    /// How many keys may have a place.
    public let maxKeys: Int

    /// A limiter without keys.
    ///
    /// - Parameters:
    ///   - rate: How fast each bucket fills.
    ///   - burst: The most tokens that a bucket holds, and that one request gets; at least 1.
    ///   - maxKeys: The hard cap on keys; each shard has its equal part of it.
    ///   - shards: How many locks the keys are spread over: a power of two, at most 1,024 and at most `maxKeys`; nil
    ///     for up to 16 with room for 256 keys each.
    ///   - maxWaiters: How many tasks may wait; more are rejected as ``Rejection/full``.
    ///   - clock: The clock of rate and deadlines; tests pass a manual one.
    /// - Precondition: As said, and the bucket is one that ``TokenBucket`` accepts.
    public init(
        rate: Rate,
        burst: Int,
        maxKeys: Int,
        shards: Int? = nil,
        maxWaiters: Int = .max,
        clock: some Clock<Duration> = ContinuousClock()
    ) {
        let shards = shards ?? [16, 8, 4, 2].first { maxKeys / $0 >= 256 } ?? 1
        precondition(shards >= 1 && shards <= 1_024 && shards & (shards - 1) == 0, "\(shards) shards")
        precondition(maxKeys >= shards, "\(maxKeys) keys in \(shards) shards")
        precondition(maxWaiters >= 0, "\(maxWaiters) tasks may wait")
        let timeSource = TimeSource(clock)
        self.maxKeys = maxKeys
        core = KeyedCore(
            terms: GCRA(rate: rate, burst: burst, now: timeSource.now()), cap: maxKeys, shards: shards,
            maxWaiters: maxWaiters, timeSource: timeSource, operations: KeyOperations(of: Key.self))
    }

    /// Takes `count` tokens of the key's bucket now, or none.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - key: The key.
    /// - Returns: Whether the tokens were taken, and if not, when they could be.
    @inlinable
    public func tryAcquire(_ count: Int = 1, for key: Key) -> RateDecision {
        precondition(count >= 1, "a request for \(count) tokens: it takes at least 1")
        let hashValue = key.hashValue
        return withUnsafePointer(to: key) { pointer in
            core.tryAcquire(
                UInt64(truncatingIfNeeded: count), debt: 0, for: KeyReference(pointer, hashValue: hashValue))
        }
    }

    /// Takes `count` tokens of the key's bucket, waiting for them in order.
    ///
    /// - Parameters:
    ///   - count: The tokens; at least 1.
    ///   - key: The key.
    ///   - timeout: The longest wait; nil for any.
    /// - Throws: ``RateLimitError``; then no tokens were taken, or only as told under "Order" above.
    public nonisolated(nonsending) func acquire(
        _ count: Int = 1, for key: Key, timeout: Duration? = nil
    ) async throws(RateLimitError) {
        try await limiter(for: key).acquire(count, allowingDebt: 0, timeout: timeout)
    }

    /// The bucket of one key, with all the verbs of a limiter.
    ///
    /// - Parameter key: The key; asking for it takes no place yet.
    /// - Returns: A view of the bucket, whether or not the key has a place at the moment.
    public func limiter(for key: Key) -> Limiter { Limiter(core: core, key: key) }

    /// Changes rate and burst for all keys: each keeps its tokens as ``TokenBucket/setRate(_:burst:)`` says.
    ///
    /// It takes O(number of keys), a shard at a time.
    ///
    /// - Parameters:
    ///   - rate: The new rate.
    ///   - burst: The new burst; nil to leave it.
    public func setRate(_ rate: Rate, burst: Int? = nil) {
        let reading = core.present()
        for shard in core.shards {
            shard.state.withLock { state in
                let now = max(reading, state.latest)
                let old = state.terms
                let newBurst = burst ?? Int(old.burst)
                state.terms.change(rate: rate, burst: newBurst, now: now)
                state.terms.tat = 0
                state.terms.horizon = 0
                state.table.updateAll { tat in
                    var bucket = old
                    bucket.tat = tat
                    bucket.change(rate: rate, burst: newBurst, now: now)
                    return bucket.tat
                }
            }
        }
    }

    /// Forgets the buckets that are full again; it also happens by itself, when new keys need room.
    ///
    /// - Returns: How many keys were forgotten.
    @discardableResult
    public func forgetIdle() -> Int {
        let reading = core.present()
        var count = 0
        for shard in core.shards {
            // One at a time: keys are destroyed outside the lock, and nobody is kept from it for long.
            var place: Int? = 0
            while let start = place {
                var dropped = DroppedKeys()
                place = shard.state.withLock { state in
                    state.latest = max(reading, state.latest)
                    let present = state.terms.units(state.latest)
                    return state.table.dropFull(from: start, { $0 <= present }, &dropped)
                }
                count += dropped.count
                dropped.destroy(core.operations)
            }
        }
        return count
    }

    /// The readings of a keyed limiter.
    public struct Snapshot: Hashable, Sendable {
        /// Keys that have a place.
        public let keys: Int
        /// Keys that lost their place at the cap although their buckets were not full, so far.
        public let evictedKeys: UInt64
        /// What was missing from those buckets, in whole tokens, rounded up.
        public let forgivenTokens: UInt64
        /// Bytes of the tables, without what the keys themselves point to.
        public let tableBytes: Int
        /// Tasks waiting for tokens now.
        public let waiting: Int
        /// How long tasks waited whose wait is over, of all keys, however it ended, until they ran again.
        public let waits: WaitHistogram
    }

    /// The readings of now, shard after shard.
    ///
    /// - Returns: Keys, evictions, memory and waiting tasks.
    public func snapshot() -> Snapshot {
        var (keys, evicted, forgiven, bytes) = (0, UInt64(0), UInt64(0), 0)
        for shard in core.shards {
            shard.state.withLock { state in
                keys += state.table.count
                evicted += state.table.evicted
                forgiven += state.table.forgiven
                bytes += state.table.byteCount
            }
        }
        return Snapshot(
            keys: keys, evictedKeys: evicted, forgivenTokens: forgiven, tableBytes: bytes,
            waiting: core.queue.withLock { $0.waiting.count }, waits: core.waits.log.histogram)
    }
}
