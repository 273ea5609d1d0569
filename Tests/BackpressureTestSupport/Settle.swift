// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The rendezvous "that task is parked by now", without a sleep.

/// What `settle` throws when its condition stays false.
public struct NeverSettled: Error, CustomStringConvertible {
    /// What was waited for, where, and for how long.
    public let description: String
}

/// Gives way to other tasks until `condition` holds, a bounded number of times.
///
/// ```swift
/// let task = Task { await channel.receive() }
/// try await settle { channel.snapshot().waitingReceivers == 1 }
/// ```
///
/// - Parameters:
///   - turns: The number of turns after which the wait fails.
///   - fileID: The file of the caller.
///   - line: The line of the caller.
///   - condition: What shall become true; it is called once a turn.
/// - Throws: ``NeverSettled`` after so many turns; `CancellationError` when the calling task is cancelled.
public func settle(
    turns: Int = 1_000_000,
    fileID: String = #fileID,
    line: Int = #line,
    until condition: () -> Bool
) async throws {
    for _ in 0..<turns {
        if condition() { return }
        try Task.checkCancellation()
        await Task.yield()
    }
    if condition() { return }
    throw NeverSettled(description: "\(fileID):\(line): still not settled after \(turns) turns")
}
