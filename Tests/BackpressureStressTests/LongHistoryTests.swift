// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Long histories on real threads, searched for what no order could explain.

import BackpressureTestSupport
import Synchronization
import Testing

@testable import Backpressure

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite("long histories on real threads", .serialized, .timeLimit(.minutes(30)))
struct LongHistoryTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        let senders: Int
        let receivers: Int
        let capacity: Int
        var testDescription: String { "\(senders) senders, \(receivers) receivers, capacity \(capacity)" }

        static let all = [
            Shape(senders: 1, receivers: 1, capacity: 1), Shape(senders: 1, receivers: 1, capacity: 64),
            Shape(senders: 2, receivers: 1, capacity: 2), Shape(senders: 1, receivers: 2, capacity: 3),
            Shape(senders: 2, receivers: 2, capacity: 7),
        ]
    }

    @Test("no bad pattern in any of them", arguments: Shape.all)
    func longHistories_haveNoBadPattern(shape: Shape) {
        let size = LaneSize(
            "long histories, \(shape.testDescription)", plain: 20_000, sanitizer: 4_000, deep: 24_000_000)
        // The channel stays the same; each piece begins and ends with an empty one.
        let piece = 400_000
        let channel = BoundedChannel<Int, Never>(capacity: shape.capacity, overflow: .reject)
        var (operations, accepted) = (0, 0)
        while operations < size.count {
            let values = min(piece, size.count / 2)
            let history = run(shape, channel, values: values)
            operations += history.count
            accepted += history.sends.count
            let patterns = history.badPatterns(capacity: shape.capacity, values: values)
            #expect(patterns.isEmpty, "\(patterns)")
            #expect(history.sends.count == history.receives.count, "lost")
            guard patterns.isEmpty else { return }
        }
        print("long histories, \(shape.testDescription): \(operations) operations, \(accepted) elements")
    }

    /// Every value is offered once; whoever is refused goes on with the next, so that "full" and "empty" are frequent.
    private func run(_ shape: Shape, _ channel: BoundedChannel<Int, Never>, values: Int) -> LongHistory {
        let merged = Mutex(LongHistory())
        let sending = Atomic(shape.senders)
        Threads.run(shape.senders + shape.receivers) { thread in
            var history = LongHistory()
            if thread < shape.senders {
                for value in stride(from: thread, to: values, by: shape.senders) {
                    let began = PlatformClock.suspendingNanoseconds()
                    let isSent = channel.trySend(value).isSent
                    let at = LongHistory.Interval(began, PlatformClock.suspendingNanoseconds())
                    if isSent { history.sent(value, at) } else { history.full(at) }
                    if !isSent, shape.senders + shape.receivers > 2, value % 16 == 0 { sched_yield() }
                }
                sending.wrappingSubtract(1, ordering: .acquiringAndReleasing)
            } else {
                while true {
                    // Read before: what is found empty after the last send is empty.
                    let isOver = sending.load(ordering: .acquiring) == 0
                    let began = PlatformClock.suspendingNanoseconds()
                    let value = channel.tryReceive().take()
                    let at = LongHistory.Interval(began, PlatformClock.suspendingNanoseconds())
                    if let value { history.received(value, at) } else { history.empty(at) }
                    if value == nil {
                        if isOver { break }
                        if shape.senders + shape.receivers > 2 { sched_yield() }
                    }
                }
            }
            merged.withLock { $0.merge(history) }
        }
        return merged.withLock { $0 }
    }
}
