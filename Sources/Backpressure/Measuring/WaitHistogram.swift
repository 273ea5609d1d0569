// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How long waits were: counts in buckets whose width grows with what they hold.
//
// ## Algorithm
// As in HdrHistogram (Gil Tene): a value's bucket is its leading 6 bits and their place. Up to 63 ns every value has a
// bucket; from there on each doubling, an octave, has 32 buckets of one width, so a bucket is at most 1/32 of what it
// holds. Its middle stands for it, which is off by at most 1/64 = 1.6 %. Finding the bucket is a count of leading zeroes
// and two shifts. Differs from it in: the middle and not the upper end, no highest value, octaves made when they are hit.
//
// ## Invariants
// H1  An octave that holds nothing is an empty array, and the last octave holds something: equal contents are equal.
// H2  `count` is the sum of the buckets, all of them held to their range: merging is associative and commutative.
// H3  The least and the greatest value are exact, and no percentile lies outside of them.
//
// ## Cost
// 256 bytes for each octave that was hit, 59 of them at most. Recording allocates only the first time in an octave.

/// How long waits, or any durations, were: percentiles within 2 %, in fixed memory.
///
/// ```swift
/// var waits = WaitHistogram()
/// for milliseconds in 1...100 { waits.record(.milliseconds(milliseconds)) }
/// print(waits.count, waits.p95 ?? .zero)  // 100, and 95 ms within 2 %
/// ```
///
/// Values are whole nanoseconds from 0 to 292 years; longer ones count as that, negative ones as 0. Counts and the total are
/// held to their range instead of wrapping around. Two histograms merge bucket by bucket, so those of many primitives,
/// processes or intervals give the percentiles of all.
///
/// - **Accuracy**: the least and the greatest value are exact, percentiles are within 1/64 of a recorded value.
/// - **Cost**: recording is O(1); a percentile walks over at most 1,888 buckets. At most 16 KiB, as a rule some 2 KiB.
///   A copy shares its memory until one of the two changes.
public struct WaitHistogram: Hashable, Sendable {
    /// Values that count as one.
    public struct Bucket: Hashable, Sendable {
        /// The least value of the bucket.
        public let lowerBound: Duration
        /// The greatest value of the bucket.
        public let upperBound: Duration
        /// How many values it holds.
        public let count: UInt64
    }

    private static let octaveSize = 32

    private var octaves: [[UInt64]] = []
    /// How many values were recorded.
    public private(set) var count: UInt64 = 0
    private var nanoseconds: UInt128 = 0
    private var least = Int64.max
    private var greatest: Int64 = 0

    /// A histogram of nothing.
    public init() {}

    /// Whether nothing was recorded.
    public var isEmpty: Bool { count == 0 }

    /// The sum of all values, exactly.
    public var total: Duration { Self.duration(nanoseconds) }

    /// The mean; nil when nothing was recorded.
    public var mean: Duration? { isEmpty ? nil : Self.duration(nanoseconds / UInt128(count)) }

    /// The least value, exactly; nil when nothing was recorded.
    public var minimum: Duration? { isEmpty ? nil : .nanoseconds(least) }

    /// The greatest value, exactly; nil when nothing was recorded.
    ///
    /// After ``subtracting(_:)`` it is the upper end of the last bucket.
    public var maximum: Duration? { isEmpty ? nil : .nanoseconds(greatest) }

    /// The median.
    public var p50: Duration? { percentile(50) }

    /// What 95 % of the values do not exceed.
    public var p95: Duration? { percentile(95) }

    /// What 99 % of the values do not exceed.
    public var p99: Duration? { percentile(99) }

    /// The least value that at least `percent` of 100 values do not exceed, within 1/64.
    ///
    /// - Parameter percent: 0 to 100; 0 gives the least value and 100 the greatest one, both exactly.
    /// - Returns: The value; nil when nothing was recorded.
    /// - Precondition: `0 <= percent <= 100`.
    public func percentile(_ percent: Double) -> Duration? {
        precondition(percent >= 0 && percent <= 100, "a percentile of \(percent) is not within 0...100")
        guard !isEmpty else { return nil }
        guard percent > 0 else { return minimum }
        guard percent < 100 else { return maximum }
        let share = (percent * Double(count) / 100).rounded(.up)
        let rank = share < 0x1p64 ? max(1, UInt64(share)) : count
        var seen: UInt64 = 0
        for (octave, counts) in octaves.enumerated() {
            for (place, count) in counts.enumerated() where count > 0 {
                seen = seen.addingSaturating(count)
                guard seen >= rank else { continue }
                let (lower, width) = Self.bounds(octave * Self.octaveSize + place)
                return .nanoseconds(min(max(lower + (width - 1) / 2, least), greatest))
            }
        }
        return maximum
    }

    /// The buckets that hold something, from the least values up.
    public var buckets: [Bucket] {
        octaves.enumerated().flatMap { octave, counts in
            counts.enumerated().filter { $0.element > 0 }.map { place, count in
                let (lower, width) = Self.bounds(octave * Self.octaveSize + place)
                return Bucket(
                    lowerBound: .nanoseconds(lower), upperBound: .nanoseconds(lower + (width - 1)), count: count)
            }
        }
    }

    // MARK: - Recording and merging

    /// Records a value.
    ///
    /// - Parameters:
    ///   - duration: The value; a negative one counts as zero.
    ///   - count: How often it occurred.
    public mutating func record(_ duration: Duration, count: UInt64 = 1) {
        record(nanoseconds: duration.saturatingNanosecondsRoundedDown, count: count)
    }

    mutating func record(nanoseconds value: Int64, count added: UInt64 = 1) {
        guard added > 0 else { return }
        let value = max(0, value)
        let index = Self.index(of: value)
        let (octave, place) = index.quotientAndRemainder(dividingBy: Self.octaveSize)
        while octaves.count <= octave { octaves.append([]) }
        if octaves[octave].isEmpty { octaves[octave] = Array(repeating: 0, count: Self.octaveSize) }
        octaves[octave][place] = octaves[octave][place].addingSaturating(added)
        count = count.addingSaturating(added)
        // 2^63 ns times 2^64 is below 2^128.
        nanoseconds = nanoseconds.addingSaturating(UInt128(value) * UInt128(added))
        least = min(least, value)
        greatest = max(greatest, value)
    }

    /// Adds what another histogram holds.
    ///
    /// Associative and commutative: in whatever order and groups histograms are merged, the result is the same.
    ///
    /// - Parameter other: The other one.
    public mutating func merge(_ other: WaitHistogram) {
        while octaves.count < other.octaves.count { octaves.append([]) }
        for (octave, counts) in other.octaves.enumerated() where !counts.isEmpty {
            guard !octaves[octave].isEmpty else {
                octaves[octave] = counts
                continue
            }
            for place in 0..<Self.octaveSize {
                octaves[octave][place] = octaves[octave][place].addingSaturating(counts[place])
            }
        }
        count = count.addingSaturating(other.count)
        nanoseconds = nanoseconds.addingSaturating(other.nanoseconds)
        least = min(least, other.least)
        greatest = max(greatest, other.greatest)
    }

    /// What was recorded since an earlier copy was taken.
    ///
    /// The least and the greatest value are then those of the buckets, as a copy does not say which values came after it.
    ///
    /// - Parameter earlier: A copy of this histogram. What it holds and this one does not is left out.
    /// - Returns: The difference.
    public func subtracting(_ earlier: WaitHistogram) -> WaitHistogram {
        guard !earlier.isEmpty else { return self }
        var rest = WaitHistogram()
        for (octave, counts) in octaves.enumerated() {
            let before = octave < earlier.octaves.count ? earlier.octaves[octave] : []
            for (place, count) in counts.enumerated() {
                let left = count.subtractingSaturating(before.isEmpty ? 0 : before[place])
                guard left > 0 else { continue }
                let (lower, width) = Self.bounds(octave * Self.octaveSize + place)
                rest.record(nanoseconds: min(lower + (width - 1), greatest), count: left)
                rest.least = min(rest.least, max(lower, least))
            }
        }
        if !rest.isEmpty {
            rest.nanoseconds = nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0
        }
        return rest
    }

    // MARK: - Buckets

    /// The bucket of a value that is not negative.
    private static func index(of value: Int64) -> Int {
        guard value >= 2 * Int64(octaveSize) else { return Int(value) }
        let shift = 58 - value.leadingZeroBitCount
        return shift * octaveSize + Int(value >> Int64(shift))
    }

    /// The least value of a bucket, and how many values it has.
    private static func bounds(_ index: Int) -> (lower: Int64, width: Int64) {
        guard index >= 2 * octaveSize else { return (Int64(index), 1) }
        let shift = index / octaveSize - 1
        return (Int64(index - shift * octaveSize) << Int64(shift), 1 << Int64(shift))
    }

    private static func duration(_ nanoseconds: UInt128) -> Duration {
        let (attoseconds, overflow) = nanoseconds.multipliedReportingOverflow(by: 1_000_000_000)
        return Duration(attoseconds: overflow ? .max : Int128(clamping: attoseconds))
    }
}

extension WaitHistogram: CustomStringConvertible {
    /// Count, median, p99 and maximum, for a log line.
    public var description: String {
        guard let p50, let p99, let maximum else { return "none" }
        return "\(count): p50 \(p50), p99 \(p99), max \(maximum)"
    }
}

extension UnsignedInteger where Self: FixedWidthInteger {
    fileprivate func addingSaturating(_ other: Self) -> Self {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }

    fileprivate func subtractingSaturating(_ other: Self) -> Self { self > other ? self - other : 0 }
}
