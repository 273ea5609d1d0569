// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The `onUndelivered` hook: exactly once, with the reason, outside all locks, free to use the channel (contract 2).

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: the hook", .timeLimit(.minutes(10)))
struct ChannelHookTests {
    /// A channel whose hook can reach it.
    private final class Loop: Sendable {
        private let held = Shared<BoundedChannel<Int, Never>?>(nil)
        let log = Shared<[Undelivered]>([])

        var channel: BoundedChannel<Int, Never>? { held.value }

        func make(
            _ capacity: Int, _ overflow: OverflowPolicy,
            _ body: @escaping @Sendable (BoundedChannel<Int, Never>, Undelivered) -> Void
        ) -> BoundedChannel<Int, Never> {
            let (held, log) = (held, log)
            let channel = BoundedChannel<Int, Never>(capacity: capacity, overflow: overflow) { element, reason in
                let record = Undelivered(element: element, reason: reason)
                log.update { $0.append(record) }
                if let channel = held.value { body(channel, record) }
            }
            held.update { $0 = channel }
            return channel
        }

        func release() { held.update { $0 = nil } }
    }

    @Test("a hook that sends again: the newest element wins, the others come by once each")
    func hook_thatSends() {
        let loop = Loop()
        let channel = loop.make(2, .dropOldest) { channel, record in
            if record.element < 100 { _ = channel.trySend(record.element + 100) }
        }
        for element in 0..<4 { #expect(channel.trySend(element).isSent) }
        let elements = loop.log.value.map(\.element)
        #expect(Set(elements).count == elements.count)
        #expect(loop.log.value.allSatisfy { $0.reason == .evicted })
        let snapshot = channel.snapshot()
        #expect(snapshot.isConsistent && snapshot.depth == 2 && snapshot.evicted == UInt64(elements.count))
        loop.release()
    }

    @Test("a hook that finishes or cancels the channel", arguments: [true, false])
    func hook_thatCloses(cancels: Bool) {
        for overflow: OverflowPolicy in [.dropOldest, .dropNewest] {
            let loop = Loop()
            let channel = loop.make(2, overflow) { channel, _ in
                if cancels { channel.cancel() } else { channel.finish() }
            }
            for element in 0..<2 { _ = channel.trySend(element) }
            _ = channel.trySend(2)
            #expect(channel.isClosed)
            #expect(channel.trySend(3).reason == (cancels ? .abandoned : .finished))
            let kept = overflow == .dropOldest ? [1, 2] : [0, 1]
            let dropped = overflow == .dropOldest ? 0 : 2
            #expect(Set(loop.log.value.map(\.element)) == Set(cancels ? [dropped] + kept : [dropped]))
            #expect(loop.log.value.count == (cancels ? 3 : 1))
            #expect(channel.snapshot().isConsistent)
            loop.release()
        }
    }

    @Test("a hook that receives, and reads, from within cancel")
    func hook_thatReceives() {
        let loop = Loop()
        let channel = loop.make(4, .suspend) { channel, _ in
            #expect(channel.tryReceive().take() == nil)
            #expect(channel.count == 0 && channel.snapshot().isConsistent)
        }
        for element in 0..<4 { _ = channel.trySend(element) }
        channel.cancel()
        #expect(loop.log.value == (0..<4).map { Undelivered(element: $0, reason: .abandoned) })
        loop.release()
    }

    @Test("an element whose deinit uses the channel, without a hook")
    func elementDeinit_thatUsesTheChannel() {
        final class Echo: Sendable {
            let channel: Shared<BoundedChannel<Echo, Never>?>
            init(_ channel: Shared<BoundedChannel<Echo, Never>?>) { self.channel = channel }
            deinit {
                guard let channel = channel.value else { return }
                _ = channel.count
                _ = channel.snapshot()
                channel.finish()
            }
        }
        let held = Shared<BoundedChannel<Echo, Never>?>(nil)
        let channel = BoundedChannel<Echo, Never>(capacity: 1, overflow: .dropOldest)
        held.update { $0 = channel }
        _ = channel.trySend(Echo(held))
        _ = channel.trySend(Echo(held))
        #expect(channel.isClosed)
        channel.cancel()
        #expect(channel.snapshot().isConsistent)
        held.update { $0 = nil }
    }

    @Test(
        "dropped, evicted and abandoned elements: the hook's sum is the counters'",
        arguments: ChannelConfiguration.overflows)
    func hookCalls_agreeWithCounters(overflow: OverflowPolicy) {
        for capacity in [1, 3, 7] {
            let bench = ChannelBench(capacity: capacity, overflow: overflow)
            for element in 0..<40 { bench.send(element, .none) }
            bench.channel.cancel()
            let log = bench.hookLog.value
            let snapshot = bench.snapshot
            #expect(log.count { $0.reason == .full } == Int(snapshot.droppedNewest))
            #expect(log.count { $0.reason == .evicted } == Int(snapshot.evicted))
            #expect(log.count { $0.reason == .abandoned } == Int(snapshot.abandoned))
            #expect(Set(log.map(\.element)).count == log.count)
            #expect(UInt64(40) == snapshot.sent + snapshot.droppedNewest + snapshot.refused)
        }
    }
}
