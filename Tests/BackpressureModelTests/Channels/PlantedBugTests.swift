// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs planted in the channel one at a time; each must be found by the program named beside it.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import ModelChecker
    import Synchronization
    import Testing

    struct PlantedBug: Sendable, CustomStringConvertible {
        let description: String
        let mutation: Mutation
        let program: ChannelModel

        init(
            _ name: String, _ file: String, _ snippet: String, kind: OperationKind? = nil, _ effect: Mutation.Effect,
            in program: ChannelModel
        ) {
            description = name
            mutation = Mutation(file: file, snippet: snippet, kind: kind, effect)
            self.program = program
        }
    }

    private let handOver = ChannelModel(name: "send | receive", threads: [[.send(0)], [.receive]])
    private let twoEach = ChannelModel(
        name: "send x2 | receive x2", threads: [[.send(0), .send(1)], [.receive, .receive]])
    private let toFull = ChannelModel(name: "full: send | receive", filled: 1, threads: [[.send(0)], [.receive]])
    private let toEmpty = ChannelModel(
        name: "full: send | receive x2", filled: 1, threads: [[.send(0)], [.receive, .receive]])
    private let rejecting = ChannelModel(
        name: "full: reject | receive", overflow: .reject, filled: 1, threads: [[.send(0), .send(1)], [.receive]])
    private let rejectingThree = ChannelModel(
        name: "reject x4 at capacity 3", capacity: 3, overflow: .reject,
        threads: [[.send(0), .send(1), .send(2), .send(3)], [.tryReceive, .tryReceive]])
    private let finishing = ChannelModel(name: "send | finish | receive", threads: [[.send(0)], [.finish], [.receive]])
    private let finishingFull = ChannelModel(
        name: "full: send | finish", filled: 1, threads: [[.send(0)], [.finish]])
    private let finishingReceivers = ChannelModel(name: "receive | finish", threads: [[.receive], [.finish]])
    private let cancelling = ChannelModel(
        name: "receive | cancel it | send", threads: [[.receive], [.cancel(0)], [.send(20), .finish]])
    private let newcomers = ChannelModels.passing(1, newcomers: 2)
    private let manyNewcomers = ChannelModels.passing(2, newcomers: 3)
    private let stewards = ChannelModel(
        name: "receive | receive | send x2, bypass 2", capacity: 2, fairness: .eventual(bypass: 2),
        threads: [[.receive], [.receive], [.send(20), .send(21)]])
    private let roomMade = ChannelModel(
        name: "full: receive | receive, trySend", capacity: 2, filled: 2, isNeverFull: true,
        threads: [[.receive], [.receive, .trySend(10)]])
    private let spilling = ChannelModel(
        name: "full: receive | trySend", filled: 1, threads: [[.receive], [.trySend(10)]])

    private let reserving = ChannelModel(
        name: "reserve, fill | trySend | receive", emptiness: .untilSent, isRescued: true,
        threads: [[.reserve, .fill(0)], [.trySend(10)], [.receive]])
    private let reservingToTheEnd = ChannelModel(
        name: "reserve, fill | finish | receive", emptiness: .untilSent, isRescued: true,
        threads: [[.reserve, .fill(0)], [.finish], [.receive]])
    private let reservingTwice = ChannelModel(
        name: "full: reserve, give back | reserve, give back | receive", filled: 1, emptiness: .untilSent,
        isRescued: true, threads: [[.reserve, .giveBack], [.reserve, .giveBack], [.receive]])
    private let reservingAndClosing = ChannelModel(
        name: "reserve, fill | finish | tryReceive", filled: 0, emptiness: .untilSent, isRescued: true,
        threads: [[.reserve, .fill(0)], [.finish], [.tryReceive]])
    /// The second of the one receiver's passes while the other looks at its slot.
    private let overtaken = ChannelModel(
        name: "full: tryReceive x2 | tryReceive", capacity: 3, filled: 3, emptiness: .untilSent,
        threads: [[.tryReceive, .tryReceive], [.tryReceive]])
    private let overdrawn = PairModels.model("s|s|r", .dropOldest, 1, .fifo, 0, emptiness: .exact)
    private let receiving = "ChannelCore+Receive.swift"
    private let sending = "ChannelCore+Send.swift"
    private let pumping = "ChannelCore+Pump.swift"

    let plantedBugs: [PlantedBug] = [
        PlantedBug(
            "sleepOnUnpublished", receiving, "let pending = decide(claimed(state) > 0)\n            settle",
            .forceFalse,
            in: handOver),
        PlantedBug(
            "pollerForgets", receiving, "decide(claimed(state) > 0) && state.receivers.contains(waiter)", .forceFalse,
            in: handOver),
        PlantedBug(
            "stewardForgets", receiving, "                && decide(claimed(state) > 0)", .forceFalse, in: stewards),
        // A claim that ignores the flags is not planted: a flag is part of the stamp that a claim expects, so it fails.
        PlantedBug(
            "claimIgnoresLimit", "Ring.swift", "decide(word >= tailLimit.loadRelaxed())", .forceFalse,
            in: manyNewcomers),
        PlantedBug(
            "claimIgnoresLimit, inlined", "Ring.swift", "decide(word < tailLimit.loadRelaxed())", .forceTrue,
            in: manyNewcomers),
        PlantedBug(
            "reservationIgnoredBySend", "ChannelState.swift", "decide(reserved > 0)", .forceFalse, in: reserving),
        PlantedBug(
            "endBeforeReservation", pumping, "decide(state.reserved == 0)", .forceTrue, in: reservingToTheEnd),
        PlantedBug(
            "endNeverAfterReservation", pumping, "decide(state.reserved == 0)", .forceFalse, in: reservingToTheEnd),
        PlantedBug(
            "reservationTakesNoRoom", "ChannelCore+Reserve.swift",
            "decide(hasRoom(state, for: count, mayWait: mayWait))", .forceTrue,
            in: reservingTwice),
        PlantedBug(
            "noRecheckSender", sending,
            """
            if decide(hasRoom(state, mayWait: mayWait)), mayPassSenders(state) {
                            return (take(&state, &effects, source, done), nil)
                        }
                        if defers, isPatient(times), decide(state.hasReceiverSteward && isWorthAwaiting(state.receivers, state)) {
                            settle(&state)
                            return (.wouldWait, nil)
                        }
                        pumpPastStewards(&state, &effects)
                        if decide(state.senders.isEmpty && hasRoom(state, mayWait: mayWait)) {
            """, .forceFalse, in: toFull),
        PlantedBug(
            "gateHeadOnly", pumping, "ring.tail.fetchOrRelaxed(RingWord.gate)", .skip, in: handOver),
        PlantedBug(
            "gateTailOnly", pumping, "ring.head.fetchOrRelaxed(RingWord.gate)", .skip, in: toEmpty),
        PlantedBug(
            "spillNoGate", pumping, "decide(state.spill.isEmpty), decide(state.debt == 0) else", .forceTrue,
            in: spilling),
        PlantedBug(
            "gateStaysClosed", pumping, "ring.tail.storeReleasing(state.tail | state.tailFlags)", .skip, in: toFull),
        PlantedBug(
            "closeEndsOnUnpublished", pumping, "decide(claimed(state) == state.debt)", .forceTrue, in: finishing),
        PlantedBug(
            "closeNoWakeReceivers", pumping, "decide(claimed(state) == state.debt)", .forceFalse, in: finishingReceivers
        ),
        PlantedBug(
            "closeNoWakeSenders", "ChannelCore+Close.swift", "decide(!state.senders.isEmpty)", .forceFalse,
            in: finishingFull),
        PlantedBug(
            "cancelResumesGranted", receiving, "decide(waiter.pointer.pointee.list != 0)", .forceTrue, in: cancelling),
        PlantedBug(
            "wakeDropped", "Waiter.swift", "cell.exchangeAcquiringAndReleasing(Self.resumed)", .skip, in: handOver),
        PlantedBug(
            "fullByStamp", "Ring.swift", "decide(geometry.isFull(tail: word, head: head.loadRelaxed()))", .forceTrue,
            in: roomMade),
        PlantedBug(
            "emptyByStamp", "Ring.swift", "decide(other & RingWord.position == word)", .forceTrue, in: overtaken),
        PlantedBug(
            "seqStamp, sender", "Ring.swift", "== geometry.freeStamp(word)) else", kind: .decide, .forceTrue,
            in: rejecting
        ),
        PlantedBug(
            "seqStamp, receiver", "Ring.swift", "== geometry.publishedStamp(word)) else", kind: .decide, .forceTrue,
            in: handOver),
        PlantedBug(
            "wrong lap arithmetic", "RingLayout.swift", "decide(word & indexMask == lastIndex)", .forceTrue,
            in: rejectingThree),
        PlantedBug("debtIgnored", pumping, "decide(state.debt == claimed(state))", .forceFalse, in: overdrawn),
        PlantedBug(
            "off-by-one capacity", pumping, "decide(logicalCount(state) < state.capacity)", .forceTrue, in: toFull),
        PlantedBug(
            "relaxedPublish", "BoundedChannel+Send.swift", "AtomicWord(at: slot).storeReleasing(stamp)", .relaxed,
            in: handOver),
        PlantedBug(
            "relaxedFree", "BoundedChannel+Receive.swift", "AtomicWord(at: slot).storeReleasing(stamp)", .relaxed,
            in: twoEach),
        PlantedBug(
            "relaxedStampLoadS", "Ring.swift", "== geometry.freeStamp(word)) else", kind: .load, .relaxed, in: twoEach),
        PlantedBug(
            "relaxedStampLoadR", "Ring.swift", "== geometry.publishedStamp(word)) else", kind: .load, .relaxed,
            in: handOver),
        PlantedBug(
            "relaxedCell", "Waiter.swift", "cell.exchangeAcquiringAndReleasing(Self.resumed)", .relaxed, in: handOver),
        PlantedBug(
            "bypass unbounded, locked", pumping, "decide(sendOrdinal(state) < passLimit(first))", .forceTrue,
            in: newcomers),
    ]

    @Suite(.serialized) struct PlantedBugTests {
        @Test(arguments: plantedBugs)
        func isFound(_ bug: PlantedBug) {
            let strategy: Strategy = bug.program.soleReceiver == nil ? .exhaustive : .preemptionBounded(2)
            let exploration = Explorer.explore(bug.program.model, Options(strategy: strategy, mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(bug.program)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }

        @Test(arguments: [
            ("earlyPublish", ChannelModel(name: "", hasSwappedStores: true, threads: [[.send(0)], [.receive]])),
            (
                "freeBeforeRead",
                ChannelModel(name: "", filled: 1, hasSwappedStores: true, threads: [[.send(0)], [.receive]])
            ),
        ])
        func swappedStoresAreFound(_ name: String, _ program: ChannelModel) {
            #expect(Explorer.explore(program.model).violation?.kind == .dataRace, "\(name) survived")
        }

        /// A bug of the protocol's list that cannot show in this channel, with reservations or without: a verdict
        /// drawn from a word of the other side with the gate.
        ///
        /// A receiver that sees "empty" past the gate has read a head without a gate before, and a tail at the same
        /// position since. The tail was there already then, and nothing was beside the ring: so "empty" was true at
        /// that moment of its look. "Finished" is asked again under the lock. And a gated head is never equal to a full
        /// tail. So the ring does not ask.
        @Test func verdictsPastTheGateAreExact() {
            let programs =
                ["s|F|r", "s|r|r", "sr|sr", "sF|Rr", "s|s|r"].map {
                    PairModels.model($0, .suspend, 1, .fifo, $0 == "s|r|r" ? 1 : 0)
                } + [reservingToTheEnd, reservingAndClosing]
            for program in programs {
                let exploration = Explorer.explore(program.model)
                #expect(exploration.exhausted, "\(exploration)")
            }
        }

        /// Bug A2: without a look under the lock before the gate is closed, all stays correct and most operations
        /// become slow.
        ///
        /// It shows as a count of operations that took the lock.
        @Test func gatingWithoutRetryShowsAsLockedOperations() {
            let plain = lockedOperations(nil)
            let planted = lockedOperations(
                Mutation(file: receiving, snippet: "decide(!state.isGated), receiveByRing", .forceFalse))
            print("operations that took the lock: \(plain); with gating but no retry: \(planted)")
            #expect(planted > plain + plain / 5)
        }

        private func lockedOperations(_ mutation: Mutation?) -> UInt64 {
            let total = Mutex<UInt64>(0)
            let model = Model(
                "a stream",
                setup: { ChannelBench(capacity: 4) },
                threads: [
                    { bench in for element in 0..<10 { bench.send(element, by: 0) } },
                    { bench in for _ in 0..<10 { bench.receive(by: 1) } },
                ],
                check: { bench in
                    let locked = bench.channel.core.state.withLock { $0.lockedOperations }
                    total.withLock { $0 += locked }
                })
            let options = Options(strategy: .random(seed: 7, executions: 2_000), maxSteps: 20_000, mutation: mutation)
            let exploration = Explorer.explore(model, options)
            #expect(exploration.violation == nil, "\(exploration)")
            return total.withLock { $0 }
        }
    }
#endif
