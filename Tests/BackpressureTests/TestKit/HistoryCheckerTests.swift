// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Do the two checkers of histories find what is wrong, and only that?

import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("checkers of histories")
struct HistoryCheckerTests {
    private typealias Operation = HistoryOperation<ChannelCall, ChannelReply>

    private func check(
        _ history: [HistoryOperation<ChannelCall, ChannelReply>], capacity: Int = 1,
        overflow: OverflowPolicy = .suspend, emptiness: SequentialChannel.Emptiness = .exact, budget: Int = 1_000_000
    ) -> Linearizability {
        LinearizabilityChecker.check(
            history, from: SequentialChannel(capacity: capacity, overflow: overflow, emptiness: emptiness),
            budget: budget)
    }

    @Test("answers in their order are linearizable, and the order is given")
    func sequence_isLinearizable() {
        let history = [
            Operation(.trySend(1), .sent, began: 0, ended: 1),
            Operation(.trySend(2), .returned(.full), began: 2, ended: 3),
            Operation(.count, .number(1), began: 4, ended: 5), Operation(.tryReceive, .received(1), began: 6, ended: 7),
            Operation(.tryReceive, .empty, began: 8, ended: 9), Operation(.finish, .done, began: 10, ended: 11),
            Operation(.tryReceive, .ended, began: 12, ended: 13),
            Operation(.trySend(3), .returned(.finished), began: 14, ended: 15),
        ]
        #expect(check(history) == .linearizable([0, 1, 2, 3, 4, 5, 6, 7]))
    }

    @Test("an overlapping operation may take effect later than one that began after it")
    func overlap_isReordered() {
        let history = [
            Operation(.tryReceive, .received(1), began: 0, ended: 9), Operation(.trySend(1), .sent, began: 3, ended: 5),
        ]
        #expect(check(history) == .linearizable([1, 0]))
        let apart = [
            Operation(.tryReceive, .received(1), began: 0, ended: 1), Operation(.trySend(1), .sent, began: 3, ended: 5),
        ]
        #expect(check(apart) == .violated)
    }

    @Test("a send that waits has no place while the channel is full")
    func waitingSend_comesAfterTheReceive() {
        let history = [
            Operation(.send(1), .sent, began: 0, ended: 1), Operation(.send(2), .sent, began: 2, ended: 9),
            Operation(.receive, .received(1), began: 4, ended: 5),
        ]
        #expect(check(history) == .linearizable([0, 2, 1]))
        #expect(check(Array(history.dropLast())) == .violated)
    }

    @Test(
        "what each policy does when full",
        arguments: [
            (OverflowPolicy.reject, ChannelReply.returned(.full), [Int](), 1), (.dropNewest, .dropped, [2], 1),
            (.dropOldest, .sent, [1], 2),
        ])
    func overflow_isChecked(overflow: OverflowPolicy, reply: ChannelReply, undelivered: [Int], left: Int) {
        func history(_ reply: ChannelReply) -> [HistoryOperation<ChannelCall, ChannelReply>] {
            [
                Operation(.trySend(1), .sent, began: 0, ended: 1), Operation(.trySend(2), reply, began: 2, ended: 3),
                Operation(.tryReceive, .received(left), began: 4, ended: 5),
                Operation(.undelivered, .elements(undelivered), began: 6, ended: 7),
            ]
        }
        #expect(check(history(reply), overflow: overflow) == .linearizable([0, 1, 2, 3]))
        for wrong in [ChannelReply.sent, .dropped, .returned(.full), .returned(.finished)] where wrong != reply {
            #expect(check(history(wrong), overflow: overflow) == .violated)
        }
    }

    @Test("empty while an earlier send is under way is wrong, and promised")
    func emptyBehindASend_dependsOnThePromise() {
        let history = [
            Operation(.trySend(1), .sent, began: 0, ended: 9), Operation(.trySend(2), .sent, began: 1, ended: 2),
            Operation(.tryReceive, .empty, began: 3, ended: 4),
            Operation(.tryReceive, .received(1), began: 10, ended: 11),
        ]
        #expect(check(history, capacity: 2) == .violated)
        #expect(check(history, capacity: 2, emptiness: .untilSent) == .linearizable([0, 1, 2, 3]))
        var late = history
        late[0] = Operation(.trySend(1), .sent, began: 0, ended: 2)
        #expect(check(late, capacity: 2, emptiness: .untilSent) == .violated)
    }

    @Test("a budget that runs out is undecided, not a verdict")
    func smallBudget_isUndecided() {
        let history =
            (0..<8).map { Operation(.trySend($0), .sent, began: 0, ended: 1) } + [
                Operation(.tryReceive, .received(99), began: 2, ended: 3)
            ]
        #expect(check(history, capacity: 8, budget: 50) == .undecided)
        #expect(check(history, capacity: 8) == .violated)
    }

    // MARK: Long histories

    private func long(_ body: (inout LongHistory) -> Void) -> [LongHistory.Pattern] {
        var history = LongHistory()
        body(&history)
        return history.badPatterns(capacity: 2, values: 10)
    }

    private func at(_ began: Int64, _ ended: Int64) -> LongHistory.Interval { LongHistory.Interval(began, ended) }

    @Test("each bad pattern is found, and its absence")
    func patterns_areFound() {
        #expect(long { $0.received(3, at(0, 1)) } == [.invented(3)])
        #expect(
            long {
                $0.sent(3, at(0, 1))
                $0.received(3, at(2, 3))
                $0.received(3, at(4, 5))
            } == [.duplicated(3)])
        #expect(
            long {
                $0.received(3, at(0, 1))
                $0.sent(3, at(2, 3))
            } == [.tooEarly(3)])
        for (second, pattern) in [(at(2, 3), [LongHistory.Pattern.orderBroken(1, 2)]), (at(1, 3), [])] {
            #expect(
                long {
                    $0.sent(1, at(0, 1))
                    $0.sent(2, second)
                    $0.received(2, at(4, 5))
                    $0.received(1, at(6, 7))
                } == pattern)
        }
        #expect(
            long {
                $0.sent(1, at(0, 1))
                $0.sent(2, at(2, 3))
                $0.received(2, at(4, 5))
            } == [.orderBroken(1, 2)], "never received is received last")
        for (sending, pattern) in [(at(8, 9), [LongHistory.Pattern.falseEmpty(at: 2)]), (at(0, 9), [])] {
            #expect(
                long {
                    $0.sent(1, at(0, 1))
                    $0.empty(at(2, 3))
                    $0.received(1, at(4, 5))
                    $0.sent(2, sending)
                } == pattern)
        }
        #expect(
            long {
                $0.sent(1, at(0, 1))
                $0.full(at(2, 3))
            } == [.falseFull(at: 2)])
        #expect(
            long {
                $0.sent(1, at(0, 1))
                $0.sent(2, at(0, 1))
                $0.full(at(2, 3))
                $0.received(1, at(2, 5))
                $0.received(2, at(6, 7))
                $0.empty(at(8, 9))
            } == [])
    }
}
