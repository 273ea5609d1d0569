// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The histogram against an oracle that keeps every value.

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("wait histogram", .timeLimit(.minutes(10)))
struct WaitHistogramTests {
    /// Values spread over all magnitudes, or close to each other, by the run.
    private static func values(_ seed: UInt64, count: Int) -> [Int64] {
        var random = SplitMix64(seed: seed)
        return (0..<count).map { _ in
            switch seed % 4 {
            case 0: Int64(random.next() % 5_000_000)
            case 1: Int64(bitPattern: random.next() >> (1 + random.next() % 63))
            case 2: 1_000_000 + Int64(random.next() % 64)
            default: Int64(random.next() % 40) * Int64(random.next() % 1_000_000_000)
            }
        }
    }

    private static func histogram(_ values: [Int64]) -> WaitHistogram {
        var histogram = WaitHistogram()
        for value in values { histogram.record(.nanoseconds(value)) }
        return histogram
    }

    private static func nanoseconds(_ duration: Duration?) -> Double {
        guard let duration else { return .nan }
        return Double(duration.saturatingNanoseconds)
    }

    @Test("percentiles are within 2 % of the exact ones, the ends and the total exact", arguments: 0..<UInt64(24))
    func percentiles_areWithinTwoPercent(seed: UInt64) {
        let count = 1 + Int(seed) * 97
        let values = Self.values(seed, count: count).sorted()
        let histogram = Self.histogram(values)
        for percent in [1, 5, 25, 50, 75, 90, 95, 99] {
            let exact = Double(values[(percent * count + 99) / 100 - 1])
            let seen = Self.nanoseconds(histogram.percentile(Double(percent)))
            #expect(abs(seen - exact) <= exact * 0.02, "p\(percent) of \(count) values: \(seen), exactly \(exact)")
        }
        #expect(histogram.minimum == .nanoseconds(values[0]) && histogram.maximum == .nanoseconds(values[count - 1]))
        #expect(histogram.percentile(0) == histogram.minimum && histogram.percentile(100) == histogram.maximum)
        #expect(histogram.total == values.reduce(Duration.zero) { $0 + .nanoseconds($1) })
        #expect(histogram.count == UInt64(count) && histogram.buckets.reduce(0) { $0 + $1.count } == UInt64(count))
    }

    @Test("every value lies in its bucket, buckets touch, and none is wider than a 32nd of what it holds")
    func buckets_cover() {
        var edges: [Int64] = Array(0...200)
        for shift in 7..<63 { for step in [-1, 0, 1] { edges.append((Int64(1) << Int64(shift)) + Int64(step)) } }
        edges += [.max - 1, .max]
        for value in edges {
            let bucket = Self.histogram([value]).buckets
            #expect(bucket.count == 1)
            let (lower, upper) = (Self.nanoseconds(bucket[0].lowerBound), Self.nanoseconds(bucket[0].upperBound))
            #expect(lower <= Double(value) && Double(value) <= upper && (upper - lower) * 32 <= lower)
        }
        let all = Self.histogram(Array(0...5_000)).buckets
        for (before, after) in zip(all, all.dropFirst()) {
            #expect(before.upperBound + .nanoseconds(1) == after.lowerBound)
        }
    }

    @Test("merging is associative and commutative, and is the histogram of all values", arguments: 0..<UInt64(12))
    func merge_isAssociative(seed: UInt64) {
        let parts = (0..<3).map { Self.values(seed &+ UInt64($0), count: 50 + 40 * $0) }
        let (a, b, c) = (Self.histogram(parts[0]), Self.histogram(parts[1]), Self.histogram(parts[2]))
        func merged(_ parts: WaitHistogram...) -> WaitHistogram {
            parts.reduce(into: WaitHistogram()) { $0.merge($1) }
        }
        #expect(merged(merged(a, b), c) == merged(a, merged(b, c)))
        #expect(merged(a, b) == merged(b, a) && merged(a, WaitHistogram()) == a)
        #expect(merged(a, b, c) == Self.histogram(parts.flatMap { $0 }))
    }

    @Test("counts are held to their range, and merging stays associative there")
    func counts_saturate() {
        var full = WaitHistogram()
        full.record(.nanoseconds(7), count: .max)
        full.record(.nanoseconds(7), count: 3)
        full.record(.seconds(1))
        #expect(full.count == .max && full.maximum == .seconds(1))
        var (twice, other) = (full, WaitHistogram())
        twice.merge(full)
        other.record(.nanoseconds(9), count: 5)
        var (left, right) = (twice, other)
        left.merge(other)
        right.merge(twice)
        #expect(left == right && left.count == .max && left.p50 == .nanoseconds(7))
    }

    @Test("what is negative counts as zero, what is too long as the longest, and nothing has no percentile")
    func extremes() {
        var histogram = WaitHistogram()
        #expect(histogram.isEmpty && histogram.p50 == nil && histogram.maximum == nil && histogram.mean == nil)
        #expect(histogram.total == .zero && histogram.buckets.isEmpty && histogram.description == "none")
        histogram.record(.seconds(-5))
        #expect(histogram.maximum == .zero && histogram.p99 == .zero)
        histogram.record(.seconds(Int64.max))
        #expect(histogram.maximum == .nanoseconds(Int64.max) && histogram.count == 2)
        histogram.record(.seconds(1), count: 0)
        #expect(histogram.count == 2)
    }

    @Test("the difference of two copies is what came between them", arguments: 0..<UInt64(8))
    func subtracting_isTheInterval(seed: UInt64) {
        let (before, after) = (Self.values(seed, count: 300), Self.values(seed &+ 1, count: 200))
        let early = Self.histogram(before)
        let interval = Self.histogram(before + after).subtracting(early)
        let exact = Self.histogram(after)
        #expect(interval.count == 200 && interval.total == exact.total && interval.buckets == exact.buckets)
        for percent in [50.0, 95, 99, 100] {
            let seen = Self.nanoseconds(interval.percentile(percent))
            let wanted = Self.nanoseconds(exact.percentile(percent))
            #expect(abs(seen - wanted) <= wanted / 32)
        }
        #expect(early.subtracting(early) == WaitHistogram() && early.subtracting(WaitHistogram()) == early)
    }
}
