// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import Testing

@testable import Backpressure

@Suite("Platform clocks")
struct PlatformClockTests {
    // A reading of the system lies between two readings of Swift's clock, to the nanosecond: the clocks are the same one.

    @Test("the continuous reading is that of ContinuousClock")
    func continuous() throws {
        let time = TimeSource(ContinuousClock())
        for _ in 0..<1_000 {
            let before = try #require(time.nanoseconds(of: ContinuousClock.now))
            let reading = PlatformClock.continuousNanoseconds()
            let after = try #require(time.nanoseconds(of: ContinuousClock.now))
            #expect(before <= reading && reading <= after)
        }
    }

    @Test("the suspending reading is that of SuspendingClock")
    func suspending() throws {
        let time = TimeSource(SuspendingClock())
        for _ in 0..<1_000 {
            let before = try #require(time.nanoseconds(of: SuspendingClock.now))
            let reading = PlatformClock.suspendingNanoseconds()
            let after = try #require(time.nanoseconds(of: SuspendingClock.now))
            #expect(before <= reading && reading <= after)
        }
    }
}
