// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// From values to pixels, and the round values at which an axis is marked.

struct Scale: Sendable {
    enum Kind: Sendable {
        case linear
        case logarithmic
    }

    let kind: Kind
    let low: Double
    let high: Double
    /// The pixels of `low` and `high`.
    let from: Double
    let to: Double

    /// From 0 to a round value that no value exceeds.
    static func linear(_ values: [Double], from: Double, to: Double) -> Scale {
        let greatest = max(values.filter(\.isFinite).max() ?? 0, 1e-9)
        let step = roundStep(greatest, marks: 4)
        return Scale(kind: .linear, low: 0, high: (greatest / step).rounded(.up) * step, from: from, to: to)
    }

    /// Between powers of ten that hold all positive values.
    static func logarithmic(_ values: [Double], from: Double, to: Double) -> Scale {
        let positive = values.filter { $0 > 0 && $0.isFinite }
        let low = floorPower(positive.min() ?? 1)
        var high = floorPower(positive.max() ?? 10)
        if high < (positive.max() ?? 0) || high <= low { high *= 10 }
        return Scale(kind: .logarithmic, low: low, high: high, from: from, to: to)
    }

    /// The pixel of a value; beyond the ends, that of the end.
    func place(_ value: Double) -> Double {
        let part: Double
        switch kind {
        case .linear: part = (value - low) / (high - low)
        case .logarithmic:
            part = value > low ? Logarithm.natural(value / low) / Logarithm.natural(high / low) : 0
        }
        return from + (to - from) * min(max(part, 0), 1)
    }

    var marks: [Double] {
        switch kind {
        case .linear:
            let step = Self.roundStep(high, marks: 4)
            return stride(from: 0, through: high * 1.000_001, by: step).map { $0 }
        case .logarithmic:
            var marks: [Double] = []
            var mark = low
            while mark <= high * 1.000_001, marks.count < 24 {
                marks.append(mark)
                mark *= 10
            }
            // With many powers every second is enough.
            return marks.count > 6 ? stride(from: 0, to: marks.count, by: 2).map { marks[$0] } : marks
        }
    }

    /// 1, 2 or 5 times a power of ten, so that about so many of them make `value`.
    static func roundStep(_ value: Double, marks: Int) -> Double {
        let rough = value / Double(marks)
        let power = floorPower(rough)
        for factor in [1.0, 2, 5] where power * factor >= rough * 0.999_999 { return power * factor }
        return power * 10
    }

    /// The greatest power of ten that does not exceed a positive value.
    static func floorPower(_ value: Double) -> Double {
        guard value > 0, value.isFinite else { return 1 }
        var power = 1.0
        while power > value, power > 1e-300 { power /= 10 }
        while power * 10 <= value { power *= 10 }
        return power
    }

    /// A value at an axis.
    static func label(_ value: Double) -> String {
        let size = abs(value)
        if size >= 1e9 { return trimmed(value / 1e9) + "G" }
        if size >= 1e6 { return trimmed(value / 1e6) + "M" }
        if size >= 1e4 { return trimmed(value / 1e3) + "k" }
        return trimmed(value)
    }

    private static func trimmed(_ value: Double) -> String {
        var digits = 2
        var size = abs(value)
        while size > 0, size < 0.1, digits < 9 { (size, digits) = (size * 10, digits + 1) }
        var text = Text.number(value, digits: digits)
        guard text.contains(".") else { return text }
        while text.last == "0" { text.removeLast() }
        if text.last == "." { text.removeLast() }
        return text
    }
}

/// The natural logarithm, without a C library.
enum Logarithm {
    /// - Precondition: `value > 0` and finite.
    static func natural(_ value: Double) -> Double {
        precondition(value > 0 && value.isFinite, "no logarithm of \(value)")
        // value = 2^exponent * significand, with a significand from 1 to 2; then the series of the inverse hyperbolic tangent.
        let step = (value.significand - 1) / (value.significand + 1)
        var (sum, power) = (0.0, step)
        for odd in stride(from: 1.0, through: 39, by: 2) {
            sum += power / odd
            power *= step * step
        }
        return Double(value.exponent) * 0.693_147_180_559_945_3 + 2 * sum
    }
}
