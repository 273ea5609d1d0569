// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import Testing

@testable import Backpressure

@Suite("Demand", .timeLimit(.minutes(10)))
struct DemandTests {
    @Test("sums saturate at 2^63 - 1, which is never used up")
    func sums() {
        #expect(Demand(3) + 4 == 7)
        #expect(Demand(Int64.max - 1) + 1 == .unbounded)
        #expect(Demand(Int64.max - 1) + Demand(Int64.max - 1) == .unbounded)
        #expect(Demand.unbounded + .unbounded == .unbounded)
        #expect(Demand.unbounded + -5 == .unbounded)
        #expect(Demand.unbounded - 1_000_000 == .unbounded)
        #expect(Demand(5) - 7 == -2)
        #expect(Demand(Int64.min) + -1 == Demand(Int64.min))
        #expect(Demand(Int64.min) - 1 == Demand(Int64.min))
        #expect(Demand(1) - Demand(Int64.min) == .unbounded)
        #expect(Demand(UInt64.max) == .unbounded)
        #expect(!Demand(0).isValid && !Demand(-1).isValid && Demand(1).isValid)
        #expect("\(Demand.unbounded) \(Demand(2))" == "unbounded 2")
    }

    @Test("a word's total saturates and loses nothing before", arguments: [1, 3, 1 << 20])
    func wordTotals(count: Int) {
        let word = DrainWord()
        defer { word.deallocate() }
        for _ in 0..<count { #expect(!word.request(1)) }
        #expect(word.look().requested == UInt64(count))
        #expect(!word.request(Demand(Int64.max - 1)))
        #expect(word.look().requested == DrainLook.unbounded)
        for _ in 0..<10 { #expect(!word.request(Demand(Int64.max - 1))) }
        #expect(word.look().requested == DrainLook.unbounded)
        #expect(!word.look().mustStop)
    }

    @Test("who takes the word drains; who leaves gives it up unless something came in")
    func ownership() {
        let word = DrainWord()
        defer { word.deallocate() }
        var look = word.look()
        #expect(!word.request(2))
        #expect(!word.leave(&look))
        #expect(look.requested == 2)
        #expect(word.leave(&look))
        #expect(word.signal())
        #expect(!word.signal())
        look = word.clearSignal()
        #expect(!look.isSignalled)
        #expect(word.leave(&look))
        #expect(word.request(0))
        #expect(word.look().isInvalid && word.invalidDemand == 0)
        word.close()
        #expect(!word.request(5) && !word.signal() && !word.cancel())
    }
}
