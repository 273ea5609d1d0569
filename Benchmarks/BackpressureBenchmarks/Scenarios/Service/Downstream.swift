// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the service depends on: something that does so many calls at once and takes its time, without using a processor.
//
// ## Algorithm
// A queue in front of `slots` servers, first in, first out, computed and not run: a call begins when the first server is
// free, and ends when its work is done. All of it is known when the call arrives, so a call costs one sleep, and a timer
// that is late delays an answer but takes nothing from the capacity.
//
// Work scatters evenly from half of the mean to one and a half. Calls that are in the downstream beyond its slots cost it
// something (threads, memory, locks, as in a database with too many connections): each lengthens the work of the calls
// that arrive by a hundredth, up to twice the time. So who sends it everything gets less out of it.

import Synchronization

/// A dependency of limited concurrency.
final class Downstream: Sendable {
    private struct State: Sendable {
        /// When each server has done what it was given.
        var freeAt: [Int]
        var inside = 0
        var peak = 0
        var random: SeededRandom
    }

    private static let greatestPenalty = 1.0

    private let slots: Int
    private let work: Int
    private let state: Mutex<State>

    init(slots: Int, work: Int, seed: UInt64) {
        self.slots = slots
        self.work = work
        state = Mutex(State(freeAt: Array(repeating: 0, count: slots), random: SeededRandom(seed: seed)))
    }

    /// The most calls that were in it at once.
    var peak: Int { state.withLock { $0.peak } }

    /// One call, from its arrival to its answer.
    ///
    /// Nothing stops it: who gave up waiting has its work done all the same.
    func call() async {
        let end = begin(now: Platform.nanoseconds())
        let left = end - Platform.nanoseconds()
        // A cancelled task would return at once, so the scenarios cancel none.
        if left > 0 { try? await Task.sleep(for: .nanoseconds(left), tolerance: .zero) }
        state.withLock { $0.inside -= 1 }
    }

    /// When a call that arrives now will be done.
    private func begin(now: Int) -> Int {
        state.withLock { state in
            state.inside += 1
            state.peak = max(state.peak, state.inside)
            let penalty = min(Double(max(state.inside - slots, 0)) / 100, Self.greatestPenalty)
            let length = Double(work) * (0.5 + state.random.part()) * (1 + penalty)
            var first = 0
            for index in state.freeAt.indices where state.freeAt[index] < state.freeAt[first] { first = index }
            state.freeAt[first] = max(state.freeAt[first], now) + Int(length)
            return state.freeAt[first]
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood, 2014): the same numbers for the same seed on every machine.
struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 up to 1.
    mutating func part() -> Double { Double(next() >> 11) / Double(UInt64(1) << 53) }
}
