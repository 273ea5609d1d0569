// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Acquiring. The inlinable part is the swap on the word; everything else is one call away and never inlined.

extension AsyncSemaphore {
    // MARK: Scoped

    /// Runs `body` while holding `count` permits, waiting for them first.
    ///
    /// The permits are given back when `body` ends, by return or by error. `body` runs where the caller does, may use
    /// what the caller may use, and need not be `@Sendable`.
    ///
    /// - Parameters:
    ///   - count: How many permits.
    ///   - body: What is done while holding them.
    /// - Returns: What `body` returned.
    /// - Throws: ``AcquireError`` when the permits were not acquired, and `body` was not run; else what `body` throws.
    /// - Precondition: `count >= 1`.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func withPermits<Result: ~Copyable>(
        _ count: Int = 1, _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        if !word.take(count) { try await finishAcquiring(count, limit: .none) }
        defer { word.give(count) }
        return try await body()
    }

    /// Runs `body` while holding `count` permits, waiting for them no longer than `timeout`.
    ///
    /// As ``withPermits(_:_:)``. The timeout bounds the wait and not the body. A timeout of zero or less never waits.
    ///
    /// - Parameters:
    ///   - count: How many permits.
    ///   - timeout: The longest wait, on the semaphore's clock.
    ///   - body: What is done while holding them.
    /// - Returns: What `body` returned.
    /// - Throws: ``AcquireError`` when the permits were not acquired, and `body` was not run; else what `body` throws.
    /// - Precondition: `count >= 1`.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func withPermits<Result: ~Copyable>(
        _ count: Int = 1, timeout: Duration, _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        if !word.take(count) { try await finishAcquiring(count, limit: .timeout(timeout)) }
        defer { word.give(count) }
        return try await body()
    }

    /// Runs `body` while holding `count` permits, waiting for them no longer than until `deadline`.
    ///
    /// As ``withPermits(_:_:)``. The deadline bounds the wait and not the body.
    ///
    /// - Parameters:
    ///   - count: How many permits.
    ///   - deadline: An instant of the semaphore's clock.
    ///   - body: What is done while holding them.
    /// - Returns: What `body` returned.
    /// - Throws: ``AcquireError`` when the permits were not acquired, and `body` was not run; else what `body` throws.
    /// - Precondition: `count >= 1`; `deadline` is an instant of the type of the semaphore's clock.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func withPermits<Result: ~Copyable>(
        _ count: Int = 1, deadline: some InstantProtocol<Duration>,
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        if !word.take(count) { try await finishAcquiring(count, limit: core.waitLimit(until: deadline)) }
        defer { word.give(count) }
        return try await body()
    }

    // MARK: With a permit to hold

    /// Takes `count` permits, waiting for them.
    ///
    /// Cancelling the task ends the wait with ``Rejection/cancelled``, unless the permits were granted first: then they
    /// are returned. Now and then a task that never has to wait yields.
    ///
    /// - Parameter count: How many permits.
    /// - Returns: The permits; they are given back when the value ends.
    /// - Throws: ``AcquireError``; then nothing is held.
    /// - Precondition: `count >= 1`.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(_ count: Int = 1) async throws(AcquireError) -> Permit {
        if !word.take(count) { try await finishAcquiring(count, limit: .none) }
        return Permit(word, count)
    }

    /// Takes `count` permits, waiting for them no longer than `timeout`.
    ///
    /// As ``acquire(_:)``; when the time is up first, it throws ``Rejection/timedOut``. A timeout of zero or less never
    /// waits. The clock is read only if the task has to wait.
    ///
    /// - Parameters:
    ///   - count: How many permits.
    ///   - timeout: The longest wait, on the semaphore's clock.
    /// - Returns: The permits; they are given back when the value ends.
    /// - Throws: ``AcquireError``; then nothing is held.
    /// - Precondition: `count >= 1`.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(
        _ count: Int = 1, timeout: Duration
    ) async throws(AcquireError) -> Permit {
        if !word.take(count) { try await finishAcquiring(count, limit: .timeout(timeout)) }
        return Permit(word, count)
    }

    /// Takes `count` permits, waiting for them no longer than until `deadline`.
    ///
    /// As ``acquire(_:)``; when the deadline passes first, it throws ``Rejection/timedOut``.
    ///
    /// - Parameters:
    ///   - count: How many permits.
    ///   - deadline: An instant of the semaphore's clock.
    /// - Returns: The permits; they are given back when the value ends.
    /// - Throws: ``AcquireError``; then nothing is held.
    /// - Precondition: `count >= 1`; `deadline` is an instant of the type of the semaphore's clock.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func acquire(
        _ count: Int = 1, deadline: some InstantProtocol<Duration>
    ) async throws(AcquireError) -> Permit {
        if !word.take(count) { try await finishAcquiring(count, limit: core.waitLimit(until: deadline)) }
        return Permit(word, count)
    }

    /// Takes `count` permits if that takes no waiting.
    ///
    /// Synchronous, callable from anywhere. It passes waiting tasks only as ``Fairness`` allows. Nil is exact: at some
    /// instant during the call too few were free, or somebody waited who may not be passed, or the semaphore was closed,
    /// or `count` exceeds the limit.
    ///
    /// - Parameter count: How many permits.
    /// - Returns: The permits, given back when the value ends, or nil.
    /// - Precondition: `count >= 1`.
    @inlinable @inline(__always)
    public func tryAcquire(_ count: Int = 1) -> Permit? {
        if word.take(count) || core.tryAcquireSlow(count) { return Permit(word, count) }
        return nil
    }

    // MARK: Giving back by hand

    /// Gives back permits that a ``Permit`` was told to forget.
    ///
    /// Permits that were not forgotten cannot be given back by hand: a semaphore never has more than its limit.
    ///
    /// - Parameter count: How many of the forgotten permits.
    /// - Precondition: `1 <= count <= snapshot().forgotten`.
    public func release(_ count: Int = 1) {
        precondition(count > 0, "\(count) permits cannot be released")
        core.restoreForgotten(count)
    }

    // MARK: The rest of the way

    @inlinable
    @inline(never)
    nonisolated(nonsending) func finishAcquiring(_ count: Int, limit: WaitLimit) async throws(AcquireError) {
        if let rejection = await core.acquireSlow(count, limit: limit) { throw core.error(rejection) }
    }
}

extension SemaphoreCore {
    /// The bound of a wait until an instant of the semaphore's clock.
    @usableFromInline
    func waitLimit(until deadline: some InstantProtocol<Duration>) -> WaitLimit {
        timeSource.waitLimit(until: deadline)
    }
}
