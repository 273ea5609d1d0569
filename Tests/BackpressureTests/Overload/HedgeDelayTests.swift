// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A delay that is read from the calls: percentile, window, bounds, wild clocks; and the calls that it makes twice.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite struct HedgeDelayTests {
    private func isAbout(_ delay: Duration?, _ milliseconds: Double) -> Bool {
        delay.map { abs($0 / .milliseconds(milliseconds) - 1) < 0.03 } ?? false
    }

    @Test func itIsThePercentileOfEnoughCalls() {
        let delay = HedgeDelay(percentile: 95, minimumCalls: 100, clock: ManualClock())
        for call in 1...99 { delay.record(.milliseconds(call)) }
        #expect(delay.current == nil)
        delay.record(.milliseconds(100))
        #expect(isAbout(delay.current, 95))
        // It follows, 64 calls later at most.
        for _ in 0..<2_000 { delay.record(.milliseconds(10)) }
        #expect(isAbout(delay.current, 10))
    }

    @Test func callsCountForOneToTwoWindows() {
        let clock = ManualClock()
        let delay = HedgeDelay(percentile: 50, minimumCalls: 10, window: .seconds(10), clock: clock)
        for _ in 0..<100 { delay.record(.milliseconds(80)) }
        clock.advance(by: .seconds(10))
        for _ in 0..<50 { delay.record(.milliseconds(20)) }
        #expect(isAbout(delay.current, 80), "the window before counts")
        clock.advance(by: .seconds(10))
        #expect(isAbout(delay.current, 20), "the one before that does not")
        clock.advance(by: .seconds(20))
        #expect(delay.current == nil)
    }

    @Test func itKeepsItsBounds() {
        let delay = HedgeDelay(
            percentile: 50, minimumCalls: 1, bounds: .milliseconds(5) ... .milliseconds(50), clock: ManualClock())
        delay.record(.nanoseconds(1))
        #expect(delay.current == .milliseconds(5))
        for _ in 0..<200 { delay.record(.seconds(1_000)) }
        #expect(delay.current == .milliseconds(50))
    }

    /// Zero, negative and endless times, and a clock that jumps: no trap, no delay out of bounds.
    @Test func wildTimesAndClocks() {
        let rounds = LaneSize("hedge.delay.rounds", plain: 100, sanitizer: 20, deep: 10_000).count
        let wild: [Duration] = [
            .zero, .nanoseconds(-1), .seconds(-1_000_000), .nanoseconds(Int64.max), .nanoseconds(Int64.min),
            Duration(attoseconds: .max), Duration(attoseconds: .min), .milliseconds(5),
        ]
        let readings: [Int64] = [0, 1, -1, .max, .min, .max - 1, 1 << 40]
        for seed in 0..<UInt64(rounds) {
            var numbers = SplitMix64(seed: seed)
            let clock = FaultClock()
            let delay = HedgeDelay(
                percentile: .random(in: 0.001...99.999, using: &numbers), minimumCalls: 3, clock: clock)
            for _ in 0..<200 {
                clock.reading = readings.randomElement(using: &numbers) ?? 0
                delay.record(wild.randomElement(using: &numbers) ?? .zero)
                if let current = delay.current { #expect(delay.bounds.contains(current), "seed \(seed)") }
            }
            clock.reading = 0
            for _ in 0..<200 { delay.record(.milliseconds(7)) }
            #expect(delay.current != nil, "seed \(seed): it has seen 200 calls, and knows none")
        }
    }

    @Test func withoutEnoughCallsThereIsNoSecond() async throws {
        let clock = ManualClock()
        let delay = HedgeDelay(minimumCalls: 2, clock: clock)
        for _ in 0..<2 {
            #expect(delay.current == nil)
            let calls = Shared(0)
            let answer = try await hedge(after: delay) {
                calls.update { $0 += 1 }
                clock.advance(by: .seconds(3))
                return 7
            }
            #expect(answer == 7 && calls.value == 1)
        }
        #expect(delay.current.map { abs($0 / .seconds(3) - 1) < 0.03 } ?? false, "it learnt from the calls it made")
    }

    /// A first call that is overtaken counts with the time it had: the delay does not shrink to that of the quick ones.
    @Test func anOvertakenCallCountsWithWhatItHad() async throws {
        let clock = ManualClock()
        let delay = HedgeDelay(percentile: 50, minimumCalls: 1, bounds: .zero ... .seconds(60), clock: clock)
        delay.record(.seconds(1))
        let calls = Shared(0)
        let task = Task {
            try await hedge(after: delay) {
                let call = calls.update {
                    $0 += 1
                    return $0
                }
                // The first one hangs until it is cancelled, the second takes 4 s.
                try await clock.sleep(for: call == 1 ? .seconds(1_000) : .seconds(4))
                return call
            }
        }
        await clock.sleepers(atLeast: 2)
        clock.advance(by: .seconds(1))
        await clock.sleepers(atLeast: 2)
        clock.advance(by: .seconds(4))
        #expect(try await task.value == 2)
        // 1, 4 and 5 s are known; the middle one is 4 s.
        for _ in 0..<62 { delay.record(.seconds(4)) }
        #expect(delay.current.map { abs($0 / .seconds(4) - 1) < 0.03 } ?? false)
        for _ in 0..<64 { delay.record(.zero) }
        #expect(delay.current.map { $0 < .seconds(4) } ?? false)
        #expect(clock.sleeperCount == 0)
    }

    /// Errors teach nothing, and the first error ends the call as ever.
    @Test func errorsDoNotCount() async throws {
        struct Failure: Error {}
        let delay = HedgeDelay(minimumCalls: 1, clock: ManualClock())
        await #expect(throws: Failure.self) { try await hedge(after: delay) { throw Failure() } }
        #expect(delay.current == nil)
    }
}
