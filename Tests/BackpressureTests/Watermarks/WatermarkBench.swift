// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A watermark gate under test, and the client that it drives: what the client was told is what a broker would do.

import BackpressureTestKit
import Testing

@testable import Backpressure

final class WatermarkBench: Sendable {
    let executor = StepExecutor()
    let clock = ManualClock()
    let gate: WatermarkGate<Int>
    /// Edges in the order in which the hook, or a look, gave them: "pause 1,2".
    let log = Shared<[String]>([])

    init(
        low: Int = 2, high: Int = 4, total: WatermarkGate<Int>.Marks? = nil, minimumPause: Duration = .zero,
        pauseAfter: Duration = .zero, heartbeat: Duration? = nil, hasHook: Bool = true
    ) {
        let log = log
        let hook: @Sendable (WatermarkEdge<Int>) -> Void = { edge in log.update { $0.append(Self.text(edge)) } }
        gate = WatermarkGate(
            low: low, high: high, total: total, minimumPause: minimumPause, pauseAfter: pauseAfter,
            heartbeat: heartbeat, clock: clock, onEdge: hasHook ? hook : nil)
    }

    static func text(_ edge: WatermarkEdge<Int>) -> String {
        "\(edge.action) \(edge.keys.map(String.init).joined(separator: ","))"
    }

    var taken: [String] { gate.takeEdges().map(Self.text) }

    /// A poll that was asked for: "ready pause 1", "heartbeat", "rejected cancelled"; nil while it waits.
    func poll() -> (answer: Shared<String?>, task: Task<Void, Never>) {
        let (gate, answer) = (gate, Shared<String?>(nil))
        let task = Task(executorPreference: executor) {
            do throws(Rejection) {
                let poll = try await gate.nextPoll()
                let text = ([poll.reason.rawValue] + poll.edges.map(Self.text)).joined(separator: " ")
                answer.update { $0 = text }
            } catch {
                answer.update { $0 = "rejected \(error)" }
            }
        }
        executor.run()
        return (answer, task)
    }
}
