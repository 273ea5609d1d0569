// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A policy of two tiers: wait for a while, then drop or refuse.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("channel: suspend for a while, then", .timeLimit(.minutes(10)))
struct ChannelPatienceTests {
    static let fallbacks: [OverflowPolicy.Fallback] = [.reject, .dropNewest, .dropOldest]

    private func bench(_ fallback: OverflowPolicy.Fallback, capacity: Int = 1) -> ChannelBench {
        let bench = ChannelBench(capacity: capacity, overflow: .suspend(for: .seconds(5), then: fallback))
        for element in 0..<capacity { bench.send(element, .none) }
        return bench
    }

    @Test("when the patience is over, the fallback decides, and each element has one fate", arguments: fallbacks)
    func send_whenPatienceEnds_fallsBack(fallback: OverflowPolicy.Fallback) async throws {
        let bench = bench(fallback, capacity: 2)
        let ticket = bench.send(7)
        #expect(ticket.answer == nil)
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(5) - .nanoseconds(1))
        bench.executor.run()
        #expect(ticket.answer == nil)
        bench.clock.advance(by: .nanoseconds(1))
        #expect(await bench.executor.run { ticket.answer != nil })
        switch fallback {
        case .reject:
            #expect(ticket.answer == .returned(7, .full) && bench.hookLog.value.isEmpty)
            #expect(bench.snapshot.refused == 1 && bench.drain() == [0, 1])
        case .dropNewest:
            #expect(ticket.answer == .dropped && bench.hookLog.value == [Undelivered(element: 7, reason: .full)])
            #expect(bench.snapshot.droppedNewest == 1 && bench.drain() == [0, 1])
        case .dropOldest:
            #expect(ticket.answer == .sent && bench.hookLog.value == [Undelivered(element: 0, reason: .evicted)])
            #expect(bench.snapshot.evicted == 1 && bench.drain() == [1, 7])
        }
        #expect(bench.snapshot.sendsTimedOut == 0 && bench.snapshot.isConsistent && bench.holdsNobody)
        #expect(bench.isGateOpen)
    }

    @Test("room before the patience ends: sent, and nothing is dropped", arguments: fallbacks)
    func send_whenRoomComesFirst_isSent(fallback: OverflowPolicy.Fallback) async {
        let bench = bench(fallback)
        let ticket = bench.send(7)
        #expect(bench.receive().answer == .received(0))
        bench.executor.run()
        #expect(ticket.answer == .sent)
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(10))
        bench.executor.run()
        #expect(bench.drain() == [7] && bench.hookLog.value.isEmpty && bench.holdsNobody)
    }

    @Test("many whose patience ends together: one is dropped for each", arguments: fallbacks)
    func sends_whenPatienceEndsTogether(fallback: OverflowPolicy.Fallback) async {
        let bench = bench(fallback, capacity: 3)
        let tickets = (10..<15).map { bench.send($0) }
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(5))
        #expect(await bench.executor.run { tickets.allSatisfy { $0.answer != nil } })
        let lost = bench.hookLog.value.map(\.element)
        #expect(lost.count == (fallback == .reject ? 0 : 5), "\(lost)")
        #expect(bench.drain() == (fallback == .dropOldest ? [12, 13, 14] : [0, 1, 2]))
        #expect(bench.snapshot.isConsistent && bench.holdsNobody && bench.isGateOpen)
    }

    @Test("the sender's own shorter timeout ends its wait, and nothing is dropped", arguments: fallbacks)
    func send_whenOwnTimeoutIsShorter_isReturned(fallback: OverflowPolicy.Fallback) async {
        let bench = bench(fallback)
        let ticket = bench.send(7, .timeout(.seconds(1)))
        #expect(bench.send(8, .timeout(.zero)).answer == .returned(8, .timedOut))
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(1))
        #expect(await bench.executor.run { ticket.answer == .returned(7, .timedOut) })
        #expect(bench.drain() == [0] && bench.hookLog.value.isEmpty && bench.snapshot.sendsTimedOut == 2)
    }

    @Test("the policy's shorter patience ends a wait with a longer timeout", arguments: fallbacks)
    func send_whenOwnTimeoutIsLonger_fallsBack(fallback: OverflowPolicy.Fallback) async {
        let bench = bench(fallback)
        let ticket = bench.send(7, .timeout(.seconds(60)))
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(5))
        #expect(await bench.executor.run { ticket.answer != nil })
        #expect(ticket.answer == [.returned(7, .full), .dropped, .sent][Self.fallbacks.firstIndex(of: fallback) ?? 0])
    }

    @Test("cancel, finish and abandon end the wait as under suspend", arguments: fallbacks)
    func send_whenEndedOtherwise_isReturned(fallback: OverflowPolicy.Fallback) {
        for event in 0..<3 {
            let bench = bench(fallback)
            let ticket = bench.send(7)
            switch event {
            case 0: ticket.cancel()
            case 1: bench.channel.finish()
            default: bench.channel.cancel()
            }
            bench.executor.run()
            #expect(ticket.answer == .returned(7, [Rejection.cancelled, .finished, .abandoned][event]))
            #expect(!bench.hookLog.value.map(\.element).contains(7) && bench.holdsNobody)
        }
    }

    @Test("what does not wait goes over to the fallback at once", arguments: fallbacks)
    func trySend_whenFull_fallsBackAtOnce(fallback: OverflowPolicy.Fallback) {
        let bench = bench(fallback)
        let waiting = bench.send(6)
        let answer = bench.send(7, .none).answer
        #expect(answer == [.returned(7, .full), .dropped, .sent][Self.fallbacks.firstIndex(of: fallback) ?? 0])
        #expect(waiting.answer == nil && bench.channel.count == 1 && bench.snapshot.isConsistent)
    }

    @Test("a reservation waits as long, and drops nothing", arguments: fallbacks)
    func reserve_whenPatienceEnds_isFull(fallback: OverflowPolicy.Fallback) async {
        let bench = bench(fallback)
        let (ticket, channel) = (Ticket(), bench.channel)
        ticket.start(on: bench.executor) {
            do throws(Rejection) {
                _ = try await channel.reserve()
                return .sent
            } catch { return .rejected(error) }
        }
        bench.executor.run()
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(5))
        #expect(await bench.executor.run { ticket.answer == .rejected(.full) })
        #expect(bench.drain() == [0] && bench.hookLog.value.isEmpty && bench.holdsNobody)
    }

    @Test("dropOldest at the end of the patience, all the room reserved: the element comes back")
    func send_whenAllIsReserved_isReturned() async throws {
        let bench = ChannelBench(capacity: 1, overflow: .suspend(for: .seconds(5), then: .dropOldest))
        let room = try bench.channel.tryReserve()
        let ticket = bench.send(7)
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(5))
        #expect(await bench.executor.run { ticket.answer == .returned(7, .full) })
        #expect(room.send(1).isSent && bench.drain() == [1])
    }

    @Test("its words, and a patience that makes no sense (8)")
    func policy_isDescribed() async {
        let policy = OverflowPolicy.suspend(for: .seconds(5), then: .dropOldest)
        #expect(policy.description.hasPrefix("suspend for") && policy.description.hasSuffix("then dropOldest"))
        #expect(policy != .suspend && policy == .suspend(for: .seconds(5), then: .dropOldest))
        await #expect(processExitsWith: .failure) { _ = OverflowPolicy.suspend(for: .zero, then: .reject) }
    }
}
