// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the threads of a model did, as a history that a sequential channel must explain, in every execution.
//
// Many executions have the same history: a verdict is remembered by the answers and by which operation ended before
// which began.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import ModelChecker

    typealias ChannelOperation = HistoryOperation<ChannelCall, ChannelReply>

    /// Judges the histories of one model.
    final class HistoryJudge: @unchecked Sendable {
        private struct Key: Hashable {
            var replies: [ChannelReply] = []
            var before: [UInt64] = []
        }

        private let program: ChannelModel
        private let emptiness: SequentialChannel.Emptiness
        private var known: Set<Key> = []

        init?(_ program: ChannelModel) {
            guard let emptiness = program.emptiness else { return nil }
            (self.program, self.emptiness) = (program, emptiness)
        }

        /// Called once all threads have finished and the contract was checked, which drained the channel.
        func check(_ bench: ChannelBench) {
            var history = bench.history
            // Operations of one thread are in order; the rest is made to be.
            history.sort { $0.began < $1.began }
            let end = 1_000_000
            func append(_ call: ChannelCall, _ reply: ChannelReply) {
                history.append(
                    ChannelOperation(call, reply, began: end + 2 * history.count, ended: end + 2 * history.count + 1))
            }
            for element in bench.rest { append(.tryReceive, .received(element)) }
            append(.tryReceive, bench.channel.isClosed ? .ended : .empty)
            append(.undelivered, .elements(bench.collect().map(\.0).sorted()))

            var key = Key()
            for operation in history {
                key.replies.append(operation.reply)
                var before: UInt64 = 0
                for (index, other) in history.enumerated() where other.ended < operation.began { before |= 1 << index }
                key.before.append(before)
            }
            guard !known.contains(key) else { return }
            let initial = SequentialChannel(
                capacity: program.capacity, overflow: program.overflow, emptiness: emptiness,
                fallback: program.overflow.patience == nil ? nil : program.overflow.atOnce,
                marks: program.marks.map { ($0.low, $0.high) }, elements: (0..<bench.prefilled).map { -1 - $0 })
            switch LinearizabilityChecker.check(history, from: initial) {
            case .linearizable: known.insert(key)
            case .violated: ModelRuntime.fail("not linearizable: \(Self.text(history))")
            case .undecided: ModelRuntime.fail("undecided: \(Self.text(history))")
            }
        }

        private static func text(_ history: [ChannelOperation]) -> String {
            history.map { "\($0.call) -> \($0.reply) [\($0.began)...\($0.ended)]" }.joined(separator: ", ")
        }
    }

    extension ChannelBench {
        /// Runs an operation and notes when it began and ended.
        func runTimed(_ operation: Op, by me: Int) {
            guard let call = ChannelCall(operation) else { return run(operation, by: me) }
            if call.needsRoom, !hasRoom[me] { return }
            let began = ModelRuntime.invocation()
            run(operation, by: me)
            let ended = ModelRuntime.response()
            let reply = call == .finish || call == .cancel || call == .giveBack ? .done : ChannelReply(notes[me].last)
            record(ChannelOperation(call, reply, began: began, ended: ended))
        }

        /// Nobody can move: whoever waits must have a reason, and is then told of the end.
        func rescue(by me: Int, isTimed: Bool) {
            let snapshot = channel.snapshot()
            ModelRuntime.expect(
                snapshot.waitingSenders == 0
                    || (snapshot.depth + snapshot.reserved >= channel.capacity || snapshot.isPaused)
                        && !snapshot.isClosed,
                "senders wait for no reason: \(snapshot)")
            ModelRuntime.expect(
                snapshot.waitingReceivers == 0 || snapshot.depth == 0 && !snapshot.isClosed,
                "receivers wait for no reason: \(snapshot)")
            checkPressure(snapshot)
            if isTimed { runTimed(.finish, by: me) } else { run(.finish, by: me) }
        }
    }

    extension ChannelCall {
        /// Nil for what is no operation on the channel but ends a wait.
        init?(_ operation: Op) {
            switch operation {
            case .send(let element): self = .send(element)
            case .trySend(let element): self = .trySend(element)
            case .receive: self = .receive
            case .tryReceive: self = .tryReceive
            case .count: self = .count
            case .isClosed: self = .isClosed
            case .isFinished: self = .isFinished
            case .reserve: self = .reserve
            case .fill(let element): self = .fill(element)
            case .giveBack: self = .giveBack
            case .finish: self = .finish
            case .abandon: self = .cancel
            case .resize(let capacity): self = .resize(capacity)
            case .reserveMany, .giveBackMany, .trySendMany, .untilDrained, .cancel, .timerRings, .beginSend,
                .beginReceive, .conclude:
                return nil
            }
        }
    }

    extension ChannelCall {
        /// Whether it uses up room that was reserved before.
        fileprivate var needsRoom: Bool {
            switch self {
            case .fill, .giveBack: true
            default: false
            }
        }
    }

    extension ChannelReply {
        init(_ note: ChannelBench.Note?) {
            switch note {
            case .sent: self = .sent
            case .dropped: self = .dropped
            case .returned(_, let reason): self = .returned(reason)
            case .received(let element): self = .received(element)
            case .ended(nil): self = .ended
            case .ended(.some(let reason)): self = .gaveUp(reason)
            case .empty: self = .empty
            case .number(let number): self = .number(number)
            case .flag(let flag): self = .flag(flag)
            case .done: self = .done
            case nil: preconditionFailure("an operation left no note")
            }
        }
    }

    extension BoundedChannel {
        /// As if `position` elements had passed through a channel that nobody uses yet, and `yieldIn` more may before a
        /// task is told to yield.
        func startAt(_ position: UInt64, yieldIn: UInt64 = ChannelCore.yieldInterval) {
            let word = ring.geometry.word(ordinal: position)
            precondition(word < RingWord.noLimit, "no ring reaches position \(position)")
            let stride = SlotLayout(of: Element.self).stride
            var place = word
            for _ in 0..<maximumCapacity {
                AtomicWord(at: ring.slot(place, stride: stride)).storeRelaxed(ring.geometry.freeStamp(place))
                place = ring.geometry.next(place)
            }
            ring.tail.storeRelaxed(word)
            ring.head.storeRelaxed(word)
            let yield = ring.geometry.word(ordinal: position + yieldIn)
            core.state.withLock { ($0.tailYield, $0.headYield) = (yield, yield) }
            ring.tailLimit.storeRelaxed(yield)
            ring.headLimit.storeRelaxed(yield)
        }
    }
#endif
