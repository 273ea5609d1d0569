// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Two marks as pure arithmetic: (time, level, expected).

import Testing

@testable import Backpressure

@Suite("hysteresis")
struct HysteresisTests {
    private func run(_ rule: HysteresisRule, _ steps: [(now: Int64, level: Int, isPaused: Bool, due: Int64)]) {
        var gate = Hysteresis()
        for (index, step) in steps.enumerated() {
            let before = gate.isPaused
            let hasChanged = gate.update(level: step.level, now: step.now, rule)
            #expect(gate.isPaused == step.isPaused && gate.due == step.due, "step \(index): \(gate)")
            #expect(hasChanged == (before != gate.isPaused))
        }
    }

    @Test("between the marks nothing changes; the marks themselves count")
    func marks() {
        run(
            HysteresisRule(low: 2, high: 4, patience: 0, dwell: 0),
            [
                (0, 3, false, .max), (0, 4, true, .max), (0, 3, true, .max), (0, 9, true, .max), (0, 3, true, .max),
                (0, 2, false, .max), (0, 3, false, .max), (0, 4, true, .max), (0, 0, false, .max),
            ])
    }

    @Test("a pause lasts its dwell; a level that rises in between calls the resume off")
    func dwell() {
        run(
            HysteresisRule(low: 2, high: 4, patience: 0, dwell: 10),
            [
                (100, 4, true, .max), (101, 1, true, 110), (105, 3, true, .max), (112, 3, true, .max),
                (113, 2, false, .max), (114, 5, true, .max), (114, 0, true, 124), (123, 0, true, 124),
                (124, 0, false, .max),
            ])
    }

    @Test("a pause waits for its patience, counted from the high mark; a level that falls calls it off")
    func patience() {
        run(
            HysteresisRule(low: 2, high: 4, patience: 5, dwell: 0),
            [
                (0, 4, false, 5), (4, 9, false, 5), (5, 9, true, .max), (6, 2, false, .max), (7, 4, false, 12),
                (8, 3, false, .max), (20, 4, false, 25), (24, 3, false, .max), (25, 4, false, 30), (40, 4, true, .max),
            ])
    }

    @Test("times at the end of the range saturate: for ever is for ever")
    func saturation() {
        run(
            HysteresisRule(low: 0, high: 1, patience: 0, dwell: .max),
            [(.max - 1, 1, true, .max), (.max - 1, 0, true, .max)])
    }
}
