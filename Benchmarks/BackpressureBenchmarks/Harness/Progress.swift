// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What is going on, on standard error: one line that rewrites itself on a terminal, plain lines when piped. The report
// itself goes to standard output and is untouched by it.

struct Progress: Sendable {
    private let isTerminal = Platform.isTerminal(2)

    /// A step begins.
    func step(_ text: String) {
        Platform.write(isTerminal ? "\r\u{1B}[2K\(text)" : "\(text)\n", to: 2)
    }

    /// Something within a step; too frequent for lines.
    func detail(_ text: @autoclosure () -> String) {
        if isTerminal { step(text()) }
    }

    /// The line is given back.
    func clear() {
        if isTerminal { Platform.write("\r\u{1B}[2K", to: 2) }
    }
}
