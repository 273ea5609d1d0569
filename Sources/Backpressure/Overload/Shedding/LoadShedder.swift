// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Rejects at once when the next stage is not ready, instead of waiting for it.

/// Turns work away at once when what it needs is not to be had at this moment.
///
/// ```swift
/// let shedder = LoadShedder { gate.isReady }
/// let answer = try await shedder.run {
///     await query()
/// }
/// ```
///
/// - **Cost**: that of the question.
public struct LoadShedder: Sendable {
    private let isReady: @Sendable () -> Bool
    private let retryAfter: Duration?

    /// A shedder in front of a stage.
    ///
    /// - Parameters:
    ///   - retryAfter: What rejected callers are told about when to come again.
    ///   - isReady: Whether the stage can take work at this moment; it is called for each piece of work, from any thread.
    public init(retryAfter: Duration? = nil, isReady: @escaping @Sendable () -> Bool) {
        self.isReady = isReady
        self.retryAfter = retryAfter
    }

    /// Whether to do a piece of work now.
    ///
    /// - Throws: ``Rejection/overLimit`` when the stage is not ready; ``Rejection/expired`` or ``Rejection/cancelled`` when nobody
    ///   waits for the answer any more.
    public func check() throws(Rejection) {
        try CallDeadline.check()
        guard isReady() else { throw .overLimit(retryAfter: retryAfter) }
    }

    /// Runs `body` if the stage is ready.
    ///
    /// - Parameter body: The work.
    /// - Returns: What `body` returned.
    /// - Throws: What ``check()`` throws, and `body` was not run; else what `body` throws.
    public nonisolated(nonsending) func run<Result: ~Copyable>(
        _ body: nonisolated(nonsending) () async throws -> Result
    ) async throws -> Result {
        try check()
        return try await body()
    }
}
