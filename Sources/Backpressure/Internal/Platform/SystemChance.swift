// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// The system's generator, as a value that has an address.
///
/// `SystemRandomNumberGenerator` is empty, and ThreadSanitizer faults where generic code takes an empty value `inout`.
struct SystemChance: RandomNumberGenerator {
    private var place: UInt8 = 0

    mutating func next() -> UInt64 { UInt64.random(in: .min ... .max) }
}
