// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The contract of every source and operator, as data: the documentation prints it, and the conformance tests run over it,
// so that a stage without a row, or without a test, is noticed.
//
// Demand in is what downstream asks of the stage; demand out is what the stage asks of upstream.

/// One stage's contract.
package struct OperatorRow: Sendable, CustomStringConvertible {
    /// The kind of stage.
    package enum Kind: String, Sendable {
        case source, `operator`, bridge
    }

    package let name: String
    package let kind: Kind
    /// What the stage asks of upstream, or does against demand if it has none.
    package let demandOut: String
    /// How many elements it holds at most.
    package let bound: String
    /// Where downstream's cancellation goes, and who else cancels upstream.
    package let cancel: String
    /// When an error of upstream is sent.
    package let error: String

    /// The row of the printed table.
    package var description: String {
        "| `\(name)` | \(demandOut) | \(bound) | \(cancel) | \(error) |"
    }
}

package enum OperatorTable {
    package static let rows: [OperatorRow] = sources + operators + bridges

    private static func row(
        _ name: String, _ kind: OperatorRow.Kind, out: String, bound: String, cancel: String, error: String
    ) -> OperatorRow {
        OperatorRow(name: name, kind: kind, demandOut: out, bound: bound, cancel: cancel, error: error)
    }

    private static let passed = "downstream, straight to upstream"
    private static let stage = "downstream; the stage passes it on"

    static let sources: [OperatorRow] = [
        row("sequence", .source, out: "-", bound: "1 (the next one)", cancel: "downstream", error: "-"),
        row("range", .source, out: "-", bound: "1 (the next one)", cancel: "downstream", error: "-"),
        row("just", .source, out: "-", bound: "1", cancel: "downstream", error: "-"),
        row("empty", .source, out: "-", bound: "0", cancel: "downstream", error: "-"),
        row("fail", .source, out: "-", bound: "0", cancel: "downstream", error: "at once"),
        row(
            "asyncSequence.publisher", .source, out: "one `next()` at a time, against demand", bound: "0",
            cancel: "downstream; cancels the await", error: "in order"),
        row(
            "channel.publisher", .source, out: "one receive at a time, against demand", bound: "0",
            cancel: "downstream; cancels the wait, loses no element", error: "in order"),
        row(
            "Sink.unicast", .source, out: "-", bound: "capacity", cancel: "downstream; `emit` then says so",
            error: "after what waits"),
        row(
            "Sink.bestEffort", .source, out: "-", bound: "what was asked for, 256 at most, each subscriber",
            cancel: "each subscriber for itself", error: "after what waits"),
        row(
            "Sink.allOrNothing", .source, out: "-", bound: "what was asked for, 256 at most, each subscriber",
            cancel: "each subscriber for itself", error: "after what waits"),
        row(
            "Sink.buffered", .source, out: "-", bound: "capacity, each subscriber",
            cancel: "each subscriber for itself", error: "after what waits"),
        row(
            "SubmissionPublisher", .source, out: "-", bound: "capacity, each subscriber; 1 before them",
            cancel: "each subscriber for itself", error: "after what waits"),
    ]

    static let operators: [OperatorRow] = [
        row("map", .operator, out: "as in", bound: "0", cancel: passed, error: "at once"),
        row("tryMap", .operator, out: "as in", bound: "0", cancel: passed + "; a throw", error: "at once"),
        row("compactMap", .operator, out: "as in, and 1 for each nil", bound: "0", cancel: passed, error: "at once"),
        row(
            "filter", .operator, out: "as in, and 1 for each element that falls", bound: "0", cancel: passed,
            error: "at once"),
        row("scan", .operator, out: "as in", bound: "1 (the result)", cancel: passed, error: "at once"),
        row(
            "prefix", .operator, out: "as in, `count` in total at most", bound: "0",
            cancel: "downstream; the stage, with the last element", error: "at once"),
        row(
            "flatMap", .operator,
            out: "`maxConcurrency`, 1 for each inner end; of each inner `prefetch`, topped up at 3/4",
            bound: "maxConcurrency x prefetch", cancel: "downstream; the stage, when any fails",
            error: "at once; what waits is dropped"),
        row(
            "concatMap", .operator, out: "1, 1 for each inner end; of the inner `prefetch`, topped up at 3/4",
            bound: "prefetch", cancel: "downstream; the stage, when any fails",
            error: "at once; what waits is dropped"),
        row(
            "merge", .operator, out: "of each `prefetch`, topped up at 3/4", bound: "2 x prefetch",
            cancel: "downstream; the stage, when either fails", error: "at once; what waits is dropped"),
        row(
            "zip", .operator, out: "of each `prefetch`, topped up at 3/4", bound: "2 x prefetch",
            cancel: "downstream; the stage, when either has ended or failed", error: "at once; what waits is dropped"),
        row(
            "buffer", .operator, out: "`count` for each array asked for", bound: "count", cancel: stage,
            error: "after the last array"),
        row(
            "buffer(linger:)", .operator, out: "`count` for each array asked for, less what is still owed",
            bound: "count", cancel: stage, error: "after the last array"),
        row(
            "limitRate", .operator, out: "`high`, then `low` for each `low` sent", bound: "high", cancel: stage,
            error: "after what waits"),
        row(
            "receive(on:)", .operator, out: "`prefetch`, topped up at 3/4", bound: "prefetch", cancel: stage,
            error: "after what waits"),
        row(
            "onBackpressureBuffer", .operator, out: "unbounded", bound: "capacity",
            cancel: "downstream; the stage, on overflow with `.fail`", error: "after what waits"),
        row(
            "onBackpressureDrop", .operator, out: "unbounded", bound: "what was asked for, 256 at most", cancel: stage,
            error: "after what waits"),
        row("onBackpressureLatest", .operator, out: "unbounded", bound: "1", cancel: stage, error: "after what waits"),
        row(
            "onBackpressureError", .operator, out: "unbounded", bound: "what was asked for, 256 at most",
            cancel: "downstream; the stage, on overflow", error: "after what waits"),
        row(
            "conflate", .operator, out: "unbounded", bound: "1 (the summary)", cancel: stage, error: "after what waits"),
        row(
            "mapAsync", .operator, out: "`limit` less what runs or waits", bound: "limit",
            cancel: "downstream; the stage, when any fails; running tasks too", error: "at once; what waits is dropped"),
        row(
            "throttle", .operator, out: "1, for each admission", bound: "1",
            cancel: "downstream; the stage, when `admit` throws; the wait too", error: "after what waits"),
        row(
            "timeout", .operator, out: "as in, 256 at a time at most", bound: "256",
            cancel: "downstream; the stage, when the time is up", error: "after what waits; a timeout at once"),
        row(
            "retry", .operator, out: "as in, 256 at a time at most; what was not sent, again", bound: "256",
            cancel: stage, error: "after what waits, when the budget says so"),
    ]

    static let bridges: [OperatorRow] = [
        row(
            "values", .bridge, out: "`prefetch`, topped up at 3/4", bound: "prefetch", cancel: "leaving the loop",
            error: "after what waits")
    ]
}
