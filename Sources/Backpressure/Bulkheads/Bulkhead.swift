// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A bulkhead is a semaphore with a name, a short queue and a longest wait, set once for all callers. Nothing else: the
// bound, the queue and the timer are the semaphore's.

/// A compartment for calls to one dependency: so many at once, so many waiting, for so long.
///
/// When the dependency slows down, its callers fill this compartment and no other: the rest of the program goes on.
///
/// ```swift
/// let payments = Bulkhead("payments", limit: 10, waiterLimit: 20, maximumWait: .seconds(1))
/// let receipt = try await payments.run {
///     await pay()
/// }
/// ```
///
/// A call holds its place until `run`'s body ends, not until what it returned does. A bulkhead is shared by reference:
/// two variables that hold it share its places; two bulkheads of one name do not.
public final class Bulkhead: Sendable {
    /// The semaphore whose permits are the places.
    ///
    /// For what ``run(_:)`` cannot say: a place held as a value, a deadline, a snapshot.
    public let semaphore: AsyncSemaphore
    /// The longest wait for a place; nil for no bound.
    public let maximumWait: Duration?

    /// A bulkhead with all of its places free.
    ///
    /// - Parameters:
    ///   - name: What errors and snapshots call it.
    ///   - limit: How many calls run at once, at least 1.
    ///   - waiterLimit: How many calls wait at most; the next is refused with ``Rejection/full``.
    ///   - maximumWait: The longest wait for a place; nil for no bound, zero for none at all.
    ///   - fairness: How far newcomers may pass waiting calls.
    ///   - order: Which of the waiting calls is next.
    ///   - clock: The clock of the wait; tests pass a manual one.
    /// - Precondition: `limit >= 1`, `waiterLimit >= 0`.
    public init(
        _ name: String, limit: Int, waiterLimit: Int = 0, maximumWait: Duration? = nil, fairness: Fairness = .default,
        order: WaiterOrder = .fifo, clock: some Clock<Duration> = ContinuousClock()
    ) {
        semaphore = AsyncSemaphore(
            permits: limit, fairness: fairness, order: order, waiterLimit: waiterLimit, name: name, clock: clock)
        self.maximumWait = maximumWait
    }

    /// What errors and snapshots call it.
    public var name: String { semaphore.name ?? "" }

    /// Runs `body` in a place of its own, waiting for one first.
    ///
    /// - Parameter body: The call.
    /// - Returns: What `body` returned.
    /// - Throws: ``AcquireError`` when there was no place, and `body` was not run; else what `body` throws.
    @inlinable @inline(__always)
    public nonisolated(nonsending) func run<Result: ~Copyable>(
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        if let maximumWait { return try await semaphore.withPermits(timeout: maximumWait, body) }
        return try await semaphore.withPermits(1, body)
    }

    /// Changes how many calls run at once, also below how many run now.
    ///
    /// - Parameter limit: The new limit.
    /// - Precondition: `limit >= 1`.
    public func resize(to limit: Int) { semaphore.resize(to: limit) }

    /// Refuses all calls from now on, and those that wait.
    ///
    /// - Returns: Whether this call closed it.
    @discardableResult
    public func close() -> Bool { semaphore.close() }

    /// The readings of this instant.
    ///
    /// - Returns: Places, totals and waiting calls, all of one instant.
    public func snapshot() -> SemaphoreSnapshot { semaphore.snapshot() }
}
