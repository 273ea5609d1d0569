// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A thread of this process that keeps a core busy until it is stopped: the neighbour that makes spinning dear.

import Synchronization

final class BusyThread: Sendable {
    private let isStopped = Atomic<Bool>(false)

    init() {
        Platform.detachThread { [self] in
            var state: UInt64 = 1
            while !isStopped.load(ordering: .relaxed) { state = state &* 6_364_136_223_846_793_005 &+ 1 }
        }
    }

    func stop() { isStopped.store(true, ordering: .relaxed) }
}
