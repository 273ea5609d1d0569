// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("heap of due numbers")
struct DueHeapTests {
    @Test("random operations against a dictionary")
    func againstDictionary() {
        var random = SplitMix64(seed: 7)
        var heap = DueHeap()
        var model: [Int: Int64] = [:]
        for step in 0..<5_000 {
            let number = Int.random(in: 0..<40, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1:
                let deadline = Int64.random(in: 0..<100, using: &random)
                heap.set(number, deadline: deadline)
                model[number] = deadline
            case 2:
                heap.remove(number)
                model[number] = nil
            default:
                heap.set(number, deadline: .max)
                model[number] = nil
            }
            let earliest = model.values.min() ?? .max
            guard heap.checkInvariants(), heap.earliest == earliest, heap.isEmpty == model.isEmpty,
                heap.deadline(of: number) == model[number]
            else {
                Issue.record("step \(step): \(heap) against \(model)")
                return
            }
            if let due = heap.due(at: earliest) { #expect(model[due] == earliest) }
            #expect(earliest == 0 || heap.due(at: earliest - 1) == nil)
        }
    }
}
