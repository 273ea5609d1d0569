// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Numbers and columns as text, without Foundation.

enum Text {
    /// Fixed point.
    static func number(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "-" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((abs(value) * scale).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        if digits == 0 { return sign + "\(scaled)" }
        let fraction = String(scaled % Int(scale))
        return sign + "\(scaled / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    /// Three significant figures: 5.31, 53.1, 531, 5.31k, 5.31M.
    static func short(_ value: Double) -> String {
        let size = abs(value)
        if size >= 1e9 { return number(value / 1e9, digits: size >= 1e10 ? 1 : 2) + "G" }
        if size >= 1e6 { return number(value / 1e6, digits: size >= 1e8 ? 0 : size >= 1e7 ? 1 : 2) + "M" }
        if size >= 1e4 { return number(value / 1e3, digits: size >= 1e5 ? 0 : 1) + "k" }
        return number(value, digits: size >= 100 ? 0 : size >= 10 ? 1 : 2)
    }

    static func megabytes(_ bytes: Double) -> String { number(bytes / 1_048_576, digits: 1) + " MB" }

    static func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    static func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}
