// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How large a batch: large enough to be worth its fixed cost, small enough that it does not take too long.
//
// ## Algorithm
// Additive increase, multiplicative decrease on the time that a batch takes (Chiu and Jain, 1989). A full batch that took no
// longer than `target` makes the next one larger by `step`; one that took longer halves it. A batch that was not full, because
// time was up first, says nothing about larger ones. What is queued raises the size at once: with a queue that is longer than
// the batch, waiting for the linger is of no use.
//
// ## Invariants
// I1  minimum <= size <= maximum.
// I2  A time that is not positive, as after a step of the clock, changes nothing.

/// Steers the size of batches between two bounds by how long they take.
///
/// ```swift
/// var batcher = AdaptiveBatcher(sizes: 100...10_000, target: .milliseconds(50))
/// batcher.record(count: 100, took: .milliseconds(20))
/// print(batcher.size)  // 200
/// ```
///
/// It is a value: one per consumer. ``isDue(count:waited:)`` says when to stop collecting.
public struct AdaptiveBatcher: Hashable, Sendable {
    /// The bounds of the size.
    public let sizes: ClosedRange<Int>
    /// How long a batch may take.
    public let target: Duration
    /// How long to wait for a batch to fill.
    public let linger: Duration
    /// What a good batch adds to the size.
    public let step: Int
    /// How many elements to collect for the next batch.
    public private(set) var size: Int

    /// A batcher that begins with the least size.
    ///
    /// - Parameters:
    ///   - sizes: The bounds of the size.
    ///   - target: How long a batch may take.
    ///   - linger: How long to wait for a batch to fill, from its first element.
    ///   - step: What a good batch adds to the size; nil for the least size.
    /// - Precondition: `sizes.lowerBound >= 1`, `target > .zero`, `linger >= .zero`, `step >= 1`.
    public init(
        sizes: ClosedRange<Int> = 100...10_000, target: Duration, linger: Duration = .milliseconds(10), step: Int? = nil
    ) {
        precondition(sizes.lowerBound >= 1, "batches of \(sizes.lowerBound) elements")
        precondition(target > .zero && linger >= .zero, "a target of \(target), a linger of \(linger)")
        precondition(step.map { $0 >= 1 } ?? true, "a step that is not positive")
        self.sizes = sizes
        self.target = target
        self.linger = linger
        self.step = step ?? sizes.lowerBound
        size = sizes.lowerBound
    }

    /// Whether to stop collecting: the batch is full, or has waited long enough and is not empty.
    ///
    /// - Parameters:
    ///   - count: The elements collected so far.
    ///   - waited: The time since the first of them.
    /// - Returns: Whether to process them now.
    public func isDue(count: Int, waited: Duration) -> Bool { count >= size || (count > 0 && waited >= linger) }

    /// Learns from a batch.
    ///
    /// - Parameters:
    ///   - count: The elements it had.
    ///   - time: How long it took.
    ///   - depth: The elements that wait now; 0 if that is not known.
    public mutating func record(count: Int, took time: Duration, depth: Int = 0) {
        guard time > .zero, count > 0 else { return }
        if time > target {
            size = max(size / 2, sizes.lowerBound)
        } else if count >= size {
            let wanted = max(size.saturatingSum(step), depth > size ? min(depth, size.saturatingSum(size)) : 0)
            size = min(max(wanted, size), sizes.upperBound)
        }
    }
}

extension Int {
    fileprivate func saturatingSum(_ other: Int) -> Int { Int(Int64(self).addingSaturating(Int64(other))) }
}
