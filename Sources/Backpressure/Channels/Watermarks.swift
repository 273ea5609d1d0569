// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// What a channel asks of those who feed it, told when its level crosses a mark: see ``Watermarks``.
public enum PressureEdge: String, Hashable, Sendable {
    /// The channel has filled up to its high mark: send no more for now.
    case pause
    /// It has drained to its low mark: go on.
    case resume
}

/// Two marks between which a channel works in batches: filled up to the high one, it lets nobody in who can wait until it
/// has drained to the low one.
///
/// Without watermarks a full channel and its consumer move in step: each element received wakes one sender, which costs
/// a task switch an element. With them senders sleep through the draining and wake together.
///
/// The level is what counts against the capacity: elements and reserved room. From the moment it reaches `high` until it
/// is down to `low` the channel is *paused*. Meanwhile
///
/// - ``BoundedChannel/send(_:)`` and ``BoundedChannel/reserve()`` wait, under the policies that wait;
/// - what does not wait, ``BoundedChannel/trySend(_:)`` first of all, still has the room between `high` and the capacity,
///   as long as no task waits: so a source that takes a moment to stop loses nothing.
///
/// `onEdge` is told of each pause and each resume, and of nothing else. It is for sources that call back and cannot wait:
///
/// ```swift
/// let feed = Feed()
/// let marks = Watermarks(low: 2, high: 6) { edge in
///     switch edge {
///     case .pause: feed.stop()
///     case .resume: feed.start()
///     }
/// }
/// let channel = BoundedChannel<Int, Never>(capacity: 8, watermarks: marks)
/// feed.onReading = { reading in _ = channel.trySend(reading) }
/// ```
///
/// - **Order**: edges alternate, a pause comes first, and no two calls overlap. A pause and a resume that follow each
///   other while the hook is busy cancel out.
/// - **Where**: outside all locks, on the thread whose operation crossed the mark, or on one that was telling already.
///   The hook may use the channel; what it causes is told when it has returned.
/// - **Close**: draining a finished channel, or cancelling it, still resumes.
/// - **Resize**: where the capacity is less than a mark, it stands in for it: full is always paused.
/// - **Cost**: while not paused, one send in `high` at most takes the lock more than without watermarks; while paused
///   every operation takes it. A channel without watermarks pays nothing.
public struct Watermarks: Sendable {
    /// At this level or below it goes on.
    public let low: Int
    /// At this level or above it pauses.
    public let high: Int
    let onEdge: (@Sendable (PressureEdge) -> Void)?

    /// Two marks.
    ///
    /// - Parameters:
    ///   - low: The level at which it goes on; 0 or more.
    ///   - high: The level at which it pauses; more than `low`, and at most the channel's maximum capacity.
    ///   - onEdge: Is told of pauses and resumes, alternately.
    /// - Precondition: `0 <= low < high`.
    public init(low: Int, high: Int, onEdge: (@Sendable (PressureEdge) -> Void)? = nil) {
        precondition(low >= 0 && low < high, "a low mark of \(low) and a high mark of \(high)")
        self.low = low
        self.high = high
        self.onEdge = onEdge
    }
}
