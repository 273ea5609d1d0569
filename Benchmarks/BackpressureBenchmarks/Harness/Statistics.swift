// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Median, minimum, maximum. No mean: on a shared machine one bad round would move it.

/// The spread of the rounds of one contender.
struct Statistics: Sendable {
    let median: Double
    let min: Double
    let max: Double
    let runs: Int

    /// Nil without values.
    init?(_ values: [Double]) {
        let sorted = values.sorted()
        guard let first = sorted.first, let last = sorted.last else { return nil }
        let middle = sorted.count / 2
        median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
        min = first
        max = last
        runs = sorted.count
    }
}
