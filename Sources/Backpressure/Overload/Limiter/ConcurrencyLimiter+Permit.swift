// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The verbs of the limiter, and what they give: a permit that is settled exactly once, because it cannot be copied.

extension ConcurrencyLimiter {
    /// An admitted call, until it is settled.
    ///
    /// It cannot be copied, so it is settled exactly once: by ``succeed()``, ``ignore()``, ``drop()`` or
    /// ``settle(_:)``; if by none of them, it counts as ignored when it goes out of scope.
    public struct Permit: ~Copyable, Sendable {
        /// How the permit stands to the limit.
        private enum Kind: Sendable {
            case limited(Int)
            case bypassing
            case settled
        }

        private let core: AdmissionCore
        private let began: Int64
        private var kind: Kind

        init(_ core: AdmissionCore, _ index: Int, began: Int64) {
            self.core = core
            self.began = began
            kind = .limited(index)
        }

        init(bypassing core: AdmissionCore) {
            self.core = core
            began = 0
            kind = .bypassing
        }

        deinit { Self.end(core, kind, began, .ignored) }

        private static func end(_ core: AdmissionCore, _ kind: Kind, _ began: Int64, _ outcome: CallOutcome) {
            switch kind {
            case .limited(let index): core.settle(index, began: began, outcome)
            case .bypassing: core.endBypass()
            case .settled: break
            }
        }

        /// The call was done: the limit learns how long it took.
        public consuming func succeed() { settle(.success) }

        /// The call says nothing about the load.
        public consuming func ignore() { settle(.ignored) }

        /// The call ran into a timeout or was turned away further down: the limit falls.
        public consuming func drop() { settle(.dropped) }

        /// Settles the call.
        ///
        /// - Parameter outcome: How it ended.
        public consuming func settle(_ outcome: CallOutcome) {
            Self.end(core, kind, began, outcome)
            kind = .settled
        }
    }

    /// Admits a call if that takes no waiting.
    ///
    /// Synchronous, callable from anywhere. It never passes a call that waits.
    ///
    /// - Parameter partition: Whose place it takes.
    /// - Returns: The admitted call, nil when the limit is reached or the limiter closed.
    /// - Precondition: `partition` is of this limiter.
    public func tryAcquire(in partition: Partition = .common) -> Permit? {
        let index = index(of: partition)
        guard let began = core.tryEnter(index) else { return nil }
        return Permit(core, index, began: began)
    }

    /// Admits a call, which waits for its turn if need be: no longer than the limiter's `maximumWait`.
    ///
    /// Cancelling the task ends the wait with ``Rejection/cancelled``, unless it was admitted first. It waits no longer than
    /// until the ``CallDeadline`` of the task, and after that is not admitted at all.
    ///
    /// - Parameters:
    ///   - partition: Whose place it takes.
    ///   - timeout: The longest wait, if shorter than the limiter's; nil for the limiter's. Zero or less never waits.
    /// - Returns: The admitted call.
    /// - Throws: ``AcquireError`` with ``Rejection/overLimit``, ``Rejection/shed``, ``Rejection/timedOut``,
    ///   ``Rejection/expired``, ``Rejection/cancelled`` or ``Rejection/closed``.
    /// - Precondition: `partition` is of this limiter.
    public nonisolated(nonsending) func acquire(
        in partition: Partition = .common, timeout: Duration? = nil
    ) async throws(AcquireError) -> Permit {
        let index = index(of: partition)
        switch await core.enterSlow(index, limit: timeout.map(WaitLimit.timeout) ?? .none) {
        case .success(let began): return Permit(core, index, began: began)
        case .failure(let reason): throw AcquireError(reason, name: core.name)
        }
    }

    /// Admits a call beside the limit: it is not counted against it, and teaches it nothing.
    ///
    /// For health checks and for what must get through to help. Also on a closed limiter.
    ///
    /// - Returns: The call; settling it in any way only ends it.
    public func bypass() -> Permit {
        core.beginBypass()
        return Permit(bypassing: core)
    }

    /// Runs `body` as an admitted call, waiting for its turn first.
    ///
    /// It is settled when `body` ends: as success when it returns, else as `outcome` says of the error.
    ///
    /// - Parameters:
    ///   - partition: Whose place it takes.
    ///   - timeout: The longest wait, if shorter than the limiter's; nil for the limiter's.
    ///   - outcome: What an error says about the load; by default ``outcome(of:)``.
    ///   - body: The call.
    /// - Returns: What `body` returned.
    /// - Throws: ``AcquireError`` when it was not admitted, and `body` was not run; else what `body` throws.
    /// - Precondition: `partition` is of this limiter.
    public nonisolated(nonsending) func run<Result: ~Copyable>(
        in partition: Partition = .common, timeout: Duration? = nil,
        outcome: (any Error) -> CallOutcome = ConcurrencyLimiter.outcome(of:),
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        let permit = try await acquire(in: partition, timeout: timeout)
        let result: Result
        do {
            result = try await body()
        } catch {
            permit.settle(outcome(error))
            throw error
        }
        permit.succeed()
        return result
    }

    /// What an error says about the load, unless it is said otherwise.
    ///
    /// Being turned away or timed out by one of this library's primitives is a drop; anything else is ignored, because a
    /// call that fails fast would otherwise make the limit grow.
    ///
    /// - Parameter error: What a call threw.
    /// - Returns: Dropped or ignored.
    public static func outcome(of error: any Error) -> CallOutcome {
        let reason: Rejection? =
            switch error {
            case let error as Rejection: error
            case let error as AcquireError: error.reason
            default: nil
            }
        return switch reason {
        case .some(.timedOut), .some(.overLimit), .some(.shed), .some(.full), .some(.expired), .some(.rateLimited):
            .dropped
        default: .ignored
        }
    }
}
