// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// A change that a consumer must make at its client: pause these keys, or fetch them again.
public struct WatermarkEdge<Key: Hashable & Sendable>: Hashable, Sendable {
    /// What to do.
    public enum Action: String, Hashable, Sendable {
        /// Fetch no more for these keys.
        case pause
        /// Fetch for these keys again.
        case resume
    }

    /// What to do.
    public let action: Action
    /// To which keys, in the order in which they crossed their marks; at least one.
    public let keys: [Key]
}

/// When to poll next, and what to tell the client before.
public struct WatermarkPoll<Key: Hashable & Sendable>: Hashable, Sendable {
    /// Why it is time to poll.
    public enum Reason: String, Hashable, Sendable {
        /// There are keys to fetch for, or none are assigned and the client has to join its group.
        case ready
        /// All keys are paused, and the client must show that it lives: this poll fetches nothing.
        case heartbeat
    }

    /// Why it is time to poll.
    public let reason: Reason
    /// What to tell the client first, in order; empty when the gate has an `onEdge` hook.
    public let edges: [WatermarkEdge<Key>]
}

/// What a ``WatermarkGate`` was doing at one instant, and what it has done so far.
public struct WatermarkSnapshot: Hashable, Sendable {
    /// The sum of all levels.
    public let total: Int
    /// Keys that are assigned.
    public let assigned: Int
    /// Assigned keys that are to be paused, by their own level or by the total.
    public let paused: Int
    /// Whether the total is above its marks.
    public let isTotalPaused: Bool
    /// Keys of which anything is kept: assigned, or with a level above zero.
    public let known: Int
    /// Pauses of single keys so far.
    public let pauses: UInt64
    /// Pauses of the total so far.
    public let totalPauses: UInt64
}
