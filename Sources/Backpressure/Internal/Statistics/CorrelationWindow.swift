// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Whether two figures rise together, by their last so many values; and the middle one of a few.
//
// The sums are made anew from the values each time: a rolling sum of squares loses its digits when large values leave it,
// and what is left may be negative. A window has tens of values, and one is added every tenth of a second or so.
//
// ## Invariants
// I1  -1 <= correlation <= 1, and 0 while there are fewer values than `warmup` or one of the two hardly varies.
// I2  Values that are not finite are not added.

/// The correlation of two figures over a window of values (Pearson's).
struct CorrelationWindow: Sendable {
    private struct Pair: Sendable {
        let x: Double
        let y: Double
    }

    /// What varies by less than this part of its mean says nothing about the other.
    private static let leastVariation = 0.01

    private let size: Int
    private let warmup: Int
    private var pairs: [Pair] = []
    private var next = 0
    /// How the values of both rise together: 1 in a line, -1 the one falls as the other rises, 0 not or not known.
    private(set) var correlation = 0.0
    /// The standard deviation of y by its mean; 0 while there are fewer values than `warmup`.
    private(set) var variation = 0.0

    /// A window of so many values, which is silent until it has `warmup` of them.
    init(size: Int, warmup: Int) {
        self.size = max(2, size)
        self.warmup = max(2, min(warmup, size))
    }

    mutating func add(_ x: Double, _ y: Double) {
        guard x.isFinite, y.isFinite else { return }
        if pairs.count < size {
            pairs.append(Pair(x: x, y: y))
        } else {
            pairs[next] = Pair(x: x, y: y)
            next = next + 1 == size ? 0 : next + 1
        }
        (correlation, variation) = pairs.count < warmup ? (0, 0) : measured
    }

    private var measured: (correlation: Double, variation: Double) {
        let count = Double(pairs.count)
        // Scaled by the greatest, so that no square leaves the range of numbers.
        let scaleX = pairs.reduce(0) { max($0, abs($1.x)) }
        let scaleY = pairs.reduce(0) { max($0, abs($1.y)) }
        guard scaleX > 0, scaleY > 0 else { return (0, 0) }
        let meanX = pairs.reduce(0) { $0 + $1.x / scaleX } / count
        let meanY = pairs.reduce(0) { $0 + $1.y / scaleY } / count
        var (squaresX, squaresY, products) = (0.0, 0.0, 0.0)
        for pair in pairs {
            let (x, y) = (pair.x / scaleX - meanX, pair.y / scaleY - meanY)
            squaresX += x * x
            squaresY += y * y
            products += x * y
        }
        let variationX = (squaresX / count).squareRoot() / abs(meanX)
        let variationY = (squaresY / count).squareRoot() / abs(meanY)
        guard variationX >= Self.leastVariation, variationY >= Self.leastVariation else {
            return (0, variationY.isFinite ? variationY : 0)
        }
        let correlation = products / (squaresX.squareRoot() * squaresY.squareRoot())
        return (correlation.isFinite ? min(max(correlation, -1), 1) : 0, variationY.isFinite ? variationY : 0)
    }
}

/// The middle one of the last few values: a single wild one does not show.
struct MedianFilter: Sendable {
    private let size: Int
    private var values: [Double] = []
    private var next = 0

    /// A filter of so many values, of an odd number best.
    init(size: Int) { self.size = max(1, size) }

    /// Adds a value, and returns the middle one; of an even number the greater of the two in the middle.
    mutating func add(_ value: Double) -> Double {
        if value.isFinite {
            if values.count < size {
                values.append(value)
            } else {
                values[next] = value
                next = next + 1 == size ? 0 : next + 1
            }
        }
        return values.isEmpty ? 0 : values.sorted()[values.count / 2]
    }
}
