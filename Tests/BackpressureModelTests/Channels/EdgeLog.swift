// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the watermarks of a channel under the model checker tell, and whether they tell it rightly.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    /// The marks of a model's channel.
    struct Marks: Sendable, Hashable {
        let low: Int
        let high: Int
    }

    /// The edges that a hook was told.
    final class EdgeLog: @unchecked Sendable {
        private let busy = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)
        private(set) var edges: [PressureEdge] = []

        init() { busy.storeBytes(of: 0, as: UInt64.self) }

        deinit { busy.deallocate() }

        /// The hook: a step at its beginning and one at its end, so that a second call in between would be seen.
        func note(_ edge: PressureEdge) {
            let seen = ModelRuntime.atomicLoad(busy, .relaxed)
            ModelRuntime.expect(seen == 0, "two threads tell at once: \(edges)")
            ModelRuntime.atomicStore(busy, 1, .relaxed)
            edges.append(edge)
            ModelRuntime.atomicStore(busy, 0, .relaxed)
        }

        /// Edges alternate, a pause first, and the last one is how it is.
        func check(isPaused: Bool) {
            for (index, edge) in edges.enumerated() {
                ModelRuntime.expect(edge == (index % 2 == 0 ? .pause : .resume), "\(edges)")
            }
            ModelRuntime.expect((edges.last == .pause) == isPaused, "told \(edges), paused: \(isPaused)")
        }
    }
#endif
