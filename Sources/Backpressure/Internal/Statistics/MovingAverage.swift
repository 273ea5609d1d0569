// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// An exponentially weighted moving average that begins as a plain mean.
//
// ## Invariants
// I1  The value is finite, whatever was added: what is not finite is not added.
// I2  After n values, 2 n no more than the window + 1, it is their mean; then each counts 2 / (window + 1).

/// The average of the last values or so.
struct MovingAverage: Sendable {
    private(set) var value = 0.0
    private(set) var count = 0
    private let window: Int

    /// An average over about so many values.
    init(window: Int) { self.window = max(1, window) }

    var isEmpty: Bool { count == 0 }

    /// Adds a value, and returns the average.
    @discardableResult
    mutating func add(_ sample: Double) -> Double {
        guard sample.isFinite else { return value }
        // The plain mean, until it would count a value for less than the window does.
        count = min(count + 1, window)
        let weight = max(1 / Double(count), 2 / Double(window + 1))
        // Written so that neither product can overflow.
        value = value * (1 - weight) + sample * weight
        return value
    }

    /// Puts the average to a value, as if it were all that had been seen.
    mutating func reset(to sample: Double) {
        guard sample.isFinite else { return }
        value = sample
        count = 1
    }
}
