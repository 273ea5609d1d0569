// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The chances of a simulation: gaps between arrivals and lengths of work, from one seeded generator.

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Android)
    import Android
#endif

/// Random numbers of the distributions that queues are made of.
public struct SimulatedChance: Sendable {
    private var numbers: SplitMix64
    private var spare: Double?

    /// The chances that belong to `seed`.
    public init(seed: UInt64) { numbers = SplitMix64(seed: seed) }

    /// A number of 0 to 1, without 1.
    public mutating func uniform() -> Double { Double(numbers.next() >> 11) / Double(UInt64(1) << 53) }

    /// Whether something happens that has this probability.
    public mutating func happens(_ probability: Double) -> Bool { uniform() < probability }

    /// The gap to the next of so many events per second, in nanoseconds; at least 1.
    public mutating func gap(rate: Double) -> Int64 {
        guard rate > 0 else { return .max / 4 }
        return Int64(max(1, min(-log(1 - uniform()) / rate * 1e9, 1e18)))
    }

    /// A number of the normal distribution, by the method of Box and Muller, 1958.
    public mutating func normal() -> Double {
        if let spare {
            self.spare = nil
            return spare
        }
        let radius = (-2 * log(1 - uniform())).squareRoot()
        let angle = 2 * Double.pi * uniform()
        spare = radius * sin(angle)
        return radius * cos(angle)
    }

    /// A length of work of the lognormal distribution with this mean, in nanoseconds; at least 1.
    public mutating func lognormal(mean: Int64, sigma: Double) -> Int64 {
        let median = Double(mean) / exp(sigma * sigma / 2)
        return Int64(max(1, min(median * exp(sigma * normal()), 1e18)))
    }
}
