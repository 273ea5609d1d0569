// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A duration as a count of nanoseconds that never traps and says which way it was rounded.

extension Duration {
    /// The least count of nanoseconds that is not shorter than this duration, held to the range of `Int64`.
    ///
    /// A deadline is rounded this way, so that no wait ends before its time.
    var saturatingNanoseconds: Int64 {
        let (quotient, remainder) = attoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return Int64(clamping: remainder > 0 ? quotient + 1 : quotient)
    }

    /// The greatest count of nanoseconds that is not longer than this duration, held to the range of `Int64`.
    ///
    /// The reading of a clock is rounded this way, so that no instant is taken for reached too early.
    var saturatingNanosecondsRoundedDown: Int64 {
        let (quotient, remainder) = attoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return Int64(clamping: remainder < 0 ? quotient - 1 : quotient)
    }
}

extension Int64 {
    /// The sum, held to the range of the type instead of trapping.
    func addingSaturating(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        guard overflow else { return sum }
        return other < 0 ? .min : .max
    }

    /// The difference, held to the range of the type instead of trapping.
    func subtractingSaturating(_ other: Int64) -> Int64 {
        let (difference, overflow) = subtractingReportingOverflow(other)
        guard overflow else { return difference }
        return other < 0 ? .max : .min
    }
}
