// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Whether somebody else used this core while a round ran.
//
// Two virtual processors are often the two threads of one core. What is bound by latency (a locked operation, so the
// floor of a pair) does not notice a neighbour there; what is bound by issue width takes up to twice as long. So a
// neighbour changes the *ratio* to the floor, and no interleaving helps. The remedy: a probe that is nothing but issue
// width runs before and after each round. A round counts as undisturbed if both probes ran at nearly the best speed seen
// in this process, and a row's figures come from its undisturbed rounds, if there are enough of them.

import AllocationCounter
import Synchronization

enum Neighbour {
    /// A probe within this much of the best one had the core to itself.
    private static let tolerance = 1.05

    private static let best = Atomic<Int>(.max)

    /// Nanoseconds of one probe.
    static func probe() -> Int {
        let start = Platform.nanoseconds()
        blackHole(bench_core_probe())
        let elapsed = Platform.nanoseconds() - start
        best.min(elapsed, ordering: .relaxed)
        return elapsed
    }

    /// Whether a probe was slowed down, as far as this process knows by now.
    static func disturbed(_ probe: Int) -> Bool {
        Double(probe) > Double(best.load(ordering: .relaxed)) * tolerance
    }

    @inline(never)
    private static func blackHole(_ value: UInt64) {}
}
