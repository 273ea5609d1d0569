// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The limiter of many keys: shards of buckets, and one queue of booked waits for all of them.
//
// ## Algorithm
// A key's hash names its shard; the shard's lock guards the table and the terms. An operation makes the key's `GCRA`
// out of its 16 bytes, asks it, and writes them back. A task that waits has its tokens booked at once, so that nothing
// need be kept per key for it: it sleeps in one list for all keys, with one timer for the earliest instant.
//
// ## Locks
// A shard's and the queue's are never held together. Hashing happens before the lock. Comparing keys happens under it:
// `==` of a key must not use the limiter. Keys that are dropped are destroyed after it.

struct KeyShard: ~Copyable, Sendable {
    var table: KeyTable
    var terms: GCRA
    /// The furthest reading of the clock.
    var latest = Int64.min

    init(table: consuming KeyTable, terms: GCRA) {
        self.table = table
        self.terms = terms
    }
}

/// A key in its caller's hands, and its hash.
@usableFromInline
struct KeyReference {
    let hash: UInt
    let key: UnsafeRawPointer

    /// Hashes the key, which is code of a user, before any lock is taken.
    @usableFromInline
    init(_ key: UnsafeRawPointer, hashValue: Int) {
        self.key = key
        hash = KeyTable.hash(hashValue)
    }
}

struct KeyedQueue: ~Copyable, @unchecked Sendable {
    var waiting = WaiterList(tag: 1)
    var deadlines = Deadlines()
    /// Waits that may be registered or soon will be.
    var places = 0
    var parked: UInt64 = 0
    var granted: UInt64 = 0
    var cancelled: UInt64 = 0
    var refused: UInt64 = 0
}

@usableFromInline
final class KeyedCore: WaitCanceller, DeadlineOwner, @unchecked Sendable {
    final class Shard: Sendable {
        let state: LockedState<KeyShard>

        init(_ shard: consuming KeyShard) { state = LockedState(shard) }
    }

    let timeSource: TimeSource
    let timer = DeadlineTimer()
    let waits = OwnedWaitLog()
    let queue = LockedState(KeyedQueue())
    let shards: [Shard]
    /// The same once more, for the hot path: to take one from an array costs a retain and a release.
    private let shardTable: UnsafeMutablePointer<Unmanaged<Shard>>
    let maxWaiters: Int
    let operations: KeyOperations
    private let layout = SlotLayout(of: Int.self)

    init(
        terms: GCRA, cap: Int, shards count: Int, maxWaiters: Int, timeSource: TimeSource, operations: KeyOperations
    ) {
        self.timeSource = timeSource
        self.maxWaiters = maxWaiters
        self.operations = operations
        // The caps of the shards add up to no more than the whole.
        shards = (0..<count).map { _ in
            Shard(KeyShard(table: KeyTable(cap: cap / count, operations), terms: terms))
        }
        shardTable = .allocate(capacity: count)
        for (index, shard) in shards.enumerated() {
            (shardTable + index).initialize(to: Unmanaged.passUnretained(shard))
        }
    }

    deinit {
        timer.cancel()
        shardTable.deallocate()
    }

    /// The reading of the clock, short of the end of time: an instant there is never.
    @inline(__always)
    func present() -> Int64 { min(timeSource.now(), .max - 1) }

    // MARK: - One key's bucket

    @inline(__always)
    private func shard(of key: KeyReference) -> Unmanaged<Shard> {
        shardTable[Int(truncatingIfNeeded: key.hash >> 40) & (shards.count - 1)]
    }

    /// Runs `body` on the bucket of `key` under its shard's lock, at `now` or the furthest reading of the shard.
    @inline(__always)
    func withBucket<Result>(
        _ key: KeyReference, now: Int64, _ body: (inout GCRA, _ now: Int64) -> Result
    ) -> Result {
        var dropped = DroppedKeys()
        let result = shard(of: key)._withUnsafeGuaranteedRef { shard in
            shard.state.withLock { state in Self.run(&state, key, now, &dropped, body) }
        }
        if !dropped.isEmpty { dropped.destroy(operations) }
        return result
    }

    @inline(__always)
    private static func run<Result>(
        _ state: inout KeyShard, _ key: KeyReference, _ reading: Int64, _ dropped: inout DroppedKeys,
        _ body: (inout GCRA, _ now: Int64) -> Result
    ) -> Result {
        // A bucket that was full and forgotten must not be used up again at an earlier reading.
        let now = max(reading, state.latest)
        state.latest = now
        let place = state.table.find(key.key, key.hash)
        var bucket = state.terms
        if let place { bucket.tat = state.table.tat(at: place) }
        let before = bucket.tat
        let result = body(&bucket, now)
        guard bucket.tat != before else { return result }
        let present = bucket.units(now)
        if bucket.tat <= present {
            if let place { state.table.remove(at: place, &dropped) }
        } else if let place {
            state.table.set(bucket.tat, at: place)
        } else {
            let perToken = UInt128(max(1, bucket.rate.unitsPerToken))
            insert(key, bucket.tat, present: present, perToken: perToken, &state, &dropped)
        }
        return result
    }

    @usableFromInline
    func tryAcquire(_ count: UInt64, debt: UInt64, for key: KeyReference) -> RateDecision {
        let now = present()
        var dropped = DroppedKeys()
        let decision = shard(of: key)._withUnsafeGuaranteedRef { shard in
            shard.state.withLock { state in
                if Self.take(count, debt, key, now, &state, &dropped) { return RateDecision.allowed }
                return Self.tryAcquire(count, debt, key, now, &state, &dropped)
            }
        }
        if !dropped.isEmpty { dropped.destroy(operations) }
        return decision
    }

    @inline(never)
    private static func tryAcquire(
        _ count: UInt64, _ debt: UInt64, _ key: KeyReference, _ now: Int64, _ state: inout KeyShard,
        _ dropped: inout DroppedKeys
    ) -> RateDecision {
        run(&state, key, now, &dropped) { bucket, furthest in
            let decision = judge(bucket, count, debt, furthest, now)
            if decision.isAllowed { _ = bucket.take(count, at: furthest, now: furthest) }
            return decision
        }
    }

    /// Takes the tokens if they are there: what `judge` and `run` come to, without a copy of the terms.
    @inline(__always)
    private static func take(
        _ count: UInt64, _ debt: UInt64, _ key: KeyReference, _ now: Int64, _ state: inout KeyShard,
        _ dropped: inout DroppedKeys
    ) -> Bool {
        let limit = LimiterCore<GCRA>.most(state.terms.burst, debt)
        let perToken = UInt128(state.terms.rate.unitsPerToken)
        guard count <= limit, perToken != 0 else { return false }
        let furthest = max(now, state.latest)
        let present = state.terms.units(furthest)
        let place = state.table.find(key.key, key.hash)
        let tat = place.map { state.table.tat(at: $0) } ?? 0
        // Below 2^128: a token is less than 2^63 units.
        let after = max(tat, present) &+ UInt128(count) &* perToken
        guard after <= present &+ UInt128(limit) &* perToken, after <= GCRA.maximum else { return false }
        state.latest = furthest
        if let place {
            state.table.set(after, at: place)
        } else {
            insert(key, after, present: present, perToken: perToken, &state, &dropped)
        }
        return true
    }

    @inline(never)
    private static func insert(
        _ key: KeyReference, _ tat: UInt128, present: UInt128, perToken: UInt128, _ state: inout KeyShard,
        _ dropped: inout DroppedKeys
    ) {
        state.table.insert(
            key.key, key.hash, tat, isFull: { $0 <= present },
            missing: { UInt64(clamping: ($0 - present + perToken - 1) / perToken) }, dropped: &dropped)
    }

    func peek(_ count: UInt64, debt: UInt64, for key: KeyReference) -> RateDecision {
        let now = present()
        return withBucket(key, now: now) { Self.judge($0, count, debt, $1, now) }
    }

    private static func judge(
        _ bucket: GCRA, _ count: UInt64, _ debt: UInt64, _ furthest: Int64, _ now: Int64
    ) -> RateDecision {
        guard count <= LimiterCore<GCRA>.most(bucket.limit, debt) else {
            return .exceedsLimit(Int(clamping: bucket.limit))
        }
        let instant = bucket.earliest(count, debt: debt, behind: 0, now: furthest)
        return instant <= furthest ? .allowed : .denied(retryAfter: instant.wait(since: now))
    }

    struct Booking: Sendable {
        let mark: GCRA.Mark
        let due: Int64
    }

    /// Takes `count` tokens at the earliest instant, if that is not after `latest`.
    func book(
        _ count: UInt64, debt: UInt64, for key: KeyReference, now: Int64, until latest: Int64
    ) -> Result<Booking, RateLimitError> {
        withBucket(key, now: now) { bucket, furthest in
            guard count <= LimiterCore<GCRA>.most(bucket.limit, debt) else {
                return .failure(.exceedsLimit(Int(clamping: bucket.limit)))
            }
            let due = bucket.earliest(count, debt: debt, behind: 0, now: furthest)
            guard due <= furthest || (due <= latest && due < .max) else {
                return .failure(.tooLate(retryAfter: due.wait(since: now)))
            }
            let mark = bucket.take(count, at: due, now: furthest)
            return .success(Booking(mark: mark, due: due <= furthest ? now : due))
        }
    }

    /// Gives a booking back if nothing was taken from its bucket since.
    func giveBack(_ count: UInt64, _ booking: Booking, for key: KeyReference) -> Int {
        let now = present()
        guard booking.due > now else { return 0 }
        return withBucket(key, now: now) { bucket, furthest in
            guard bucket.tat == booking.mark.end, booking.due > furthest else { return 0 }
            return Int(clamping: bucket.giveBack(count, booking.mark, now: furthest))
        }
    }

    // MARK: - The other verbs

    func take(upTo most: UInt64, for key: KeyReference) -> Int {
        let now = present()
        return withBucket(key, now: now) { bucket, now in
            let count = min(most, UInt64(max(0, bucket.available(now: now))), bucket.limit)
            if count > 0 { _ = bucket.take(count, at: now, now: now) }
            return Int(count)
        }
    }

    func refund(_ count: UInt64, for key: KeyReference) {
        let now = present()
        withBucket(key, now: now) { $0.refund(count, now: $1) }
    }

    func penalize(_ count: UInt64, for key: KeyReference) {
        let now = present()
        withBucket(key, now: now) { $0.penalize(count, now: $1) }
    }

    func waitLimit(until deadline: some InstantProtocol<Duration>) -> WaitLimit {
        guard let nanoseconds = timeSource.nanoseconds(of: deadline) else {
            preconditionFailure("the deadline is no instant of the limiter's clock but a \(type(of: deadline))")
        }
        return .deadline(nanoseconds)
    }

    nonisolated(nonsending) func sleep(_ duration: Duration) async throws {
        try await timeSource.sleep(until: timeSource.deadline(after: duration))
    }

    func snapshot(for key: KeyReference) -> RateLimiterSnapshot {
        let now = present()
        let (available, limit) = withBucket(key, now: now) { ($0.available(now: $1), $0.limit) }
        let waits = waits.log.histogram
        return queue.withLock { queue in
            RateLimiterSnapshot(
                available: available, limit: Int(clamping: limit), waiting: queue.waiting.count,
                parked: queue.parked, granted: queue.granted, cancelled: queue.cancelled, timedOut: 0,
                refused: queue.refused, oldestWait: nil, waits: waits)
        }
    }

    // MARK: - Waiting

    /// What a request that may wait came to at once.
    enum Entry: Sendable {
        case taken
        case failed(RateLimitError)
        case registered(WaiterRef, Booking)
    }

    func latest(_ limit: WaitLimit, now: Int64) -> Int64 {
        switch limit {
        case .none: .max
        case .timeout(let duration): duration > .zero ? timeSource.deadline(after: duration) : now
        case .deadline(let deadline): deadline
        }
    }

    /// Takes or books the tokens; in the second case a waiter is registered for their instant.
    func enter(_ count: UInt64, debt: UInt64, for key: KeyReference, limit: WaitLimit) -> Entry {
        let now = present()
        let hasPlace = queue.withLock { queue in
            guard queue.places < maxWaiters else { return false }
            queue.places += 1
            return true
        }
        switch book(count, debt: debt, for: key, now: now, until: hasPlace ? latest(limit, now: now) : now) {
        case .failure(let error):
            refuse(hasPlace)
            if !hasPlace, case .tooLate = error { return .failed(.rejected(.full)) }
            return .failed(error)
        case .success(let booking):
            guard booking.due > now else {
                givePlaceBack(hasPlace)
                return .taken
            }
            return .registered(register(due: booking.due, now: now), booking)
        }
    }

    /// Suspends the task until its tokens are there; false when it was cancelled first.
    @inline(never)
    nonisolated(nonsending) func wait(_ waiter: WaiterRef) async -> Bool {
        let watch = WaitWatch(.tokens, waiter) { queue.withLock { $0.waiting.count } }
        await waiter.sleep(cancelling: self)
        watch.end(waiter, waits.log, timeSource)
        let verdict = waiter.verdict
        waiter.deallocate(payload: layout)
        return verdict == .granted
    }

    private func refuse(_ hasPlace: Bool) {
        queue.withLock { queue in
            queue.refused += 1
            if hasPlace { queue.places -= 1 }
        }
    }

    private func givePlaceBack(_ hasPlace: Bool) {
        if hasPlace { queue.withLock { $0.places -= 1 } }
    }

    private func register(due: Int64, now: Int64) -> WaiterRef {
        let waiter = WaiterRef.allocate(payload: layout)
        waiter.pointer.pointee.parkedAt = now
        waiter.pointer.pointee.deadline = due
        let request: TimerRequest? = queue.withLock { queue in
            queue.parked += 1
            queue.waiting.append(waiter)
            return queue.deadlines.insert(waiter)
        }
        if let request { timer.arm(request, for: self) }
        return waiter
    }

    private static func finish(_ waiter: WaiterRef, _ queue: inout KeyedQueue, _ verdict: Verdict) {
        queue.waiting.remove(waiter)
        queue.deadlines.remove(waiter)
        queue.places -= 1
        waiter.end(verdict)
    }

    func cancel(_ waiter: WaiterRef) {
        let isOurs = queue.withLock { queue in
            guard decide(waiter.pointer.pointee.list != 0) else { return false }
            queue.cancelled += 1
            Self.finish(waiter, &queue, .cancelled)
            return true
        }
        if isOurs { waiter.wake() }
    }

    func timerRang(generation: UInt64) -> Int64? {
        let now = present()
        var wakes = WakeBatch()
        let next = queue.withLock { queue in
            while let waiter = queue.deadlines.due(at: now) {
                queue.granted += 1
                Self.finish(waiter, &queue, .granted)
                wakes.append(waiter)
            }
            return queue.deadlines.rearm(generation: generation)
        }
        if !wakes.isEmpty { wakes.wakeAll() }
        return next
    }
}
