// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Several channels and selects over them under the model checker: the shipped code, with a thread's sleep in place of
// the `await`. A model of one rendezvous and no select is the smallest of its models.
//
// `send`, `receive` and `select` repeat the few lines of the channels' `send`, `receive` and of `SelectWait.run` that
// suspend, without the bounded look, which only delays; all else is the shipped code.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    final class SelectBench: @unchecked Sendable {
        enum Kind: Sendable {
            case rendezvous
            case bounded(capacity: Int, filled: Int, fairness: Fairness)

            /// Of capacity 1 and strict order, empty or full.
            static let empty = Kind.bounded(capacity: 1, filled: 0, fairness: .fifo)
            static let full = Kind.bounded(capacity: 1, filled: 1, fairness: .fifo)
        }

        /// A case of a select; channels are numbered.
        enum Case: Sendable {
            case receive(Int)
            case send(Int, to: Int)
        }

        enum Note: Equatable {
            case sent(Int, to: Int)
            case returned(Int, Rejection)
            case received(Int, from: Int)
            /// The end of a channel, or of the wait.
            case ended(Rejection?)
            case nothing
        }

        /// One of the channels.
        struct Port {
            let bounded: ChannelCore?
            let rendezvous: RendezvousCore?

            var core: any SelectableCore {
                if let bounded { return bounded }
                guard let rendezvous else { preconditionFailure("a port has a channel") }
                return rendezvous
            }
        }

        let ports: [Port]
        private(set) var notes: [[Note]] = Array(repeating: [], count: 8)
        private let prefilled: [Int]
        private let deadline: Int64
        private let hasFallingRanks: Bool
        /// Whom a cancellation of each thread's wait is passed to, and the waiter.
        private var cancellers: [(any WaitCanceller)?] = Array(repeating: nil, count: 8)
        private let words = UnsafeMutableRawPointer.allocate(byteCount: 64 + 8 * 64, alignment: 64)

        init(_ kinds: [Kind], deadline: Int64 = .max, hasFallingRanks: Bool = false) {
            self.deadline = deadline
            self.hasFallingRanks = hasFallingRanks
            var prefilled: [Int] = []
            ports = kinds.enumerated().map { index, kind in
                switch kind {
                case .rendezvous:
                    prefilled.append(0)
                    let core = TypedRendezvousCore<Int>(timeSource: TimeSource(ContinuousClock()))
                    // The timer of a model is a thread of the model, not a task.
                    core.state.withLock { $0.deadlines = Deadlines(armedFor: .min) }
                    return Port(bounded: nil, rendezvous: core)
                case .bounded(let capacity, let filled, let fairness):
                    prefilled.append(filled)
                    let channel = BoundedChannel<Int, Never>(capacity: capacity, fairness: fairness)
                    channel.core.state.withLock { $0.deadlines = Deadlines(armedFor: .min) }
                    for element in 0..<filled { _ = channel.trySend(-1 - element - 10 * index) }
                    return Port(bounded: channel.core, rendezvous: nil)
                }
            }
            self.prefilled = prefilled
            words.initializeMemory(as: UInt8.self, repeating: 0, count: 64 + 8 * 64)
        }

        deinit { words.deallocate() }

        /// Memory of a thread's own for the element it sends or receives.
        private func scratch(_ me: Int) -> UnsafeMutableRawPointer { words + 64 + 64 * me }

        // MARK: Operations of thread `me`

        func send(_ element: Int, to index: Int, waits: Bool, by me: Int) {
            let (port, place) = (ports[index], scratch(me))
            place.storeBytes(of: element, as: Int.self)
            let times = waits ? WaitTimes(now: 0, deadline: deadline) : nil
            var result: (ChannelOutcome, WaiterRef?) = (.done, nil)
            if let bounded = port.bounded {
                if case .claimed(let slot, let stamp) = bounded.ring.claimForSend(stride: bounded.layout.stride) {
                    PlainAccess.write(slot + bounded.layout.elementOffset)
                    bounded.move(slot + bounded.layout.elementOffset, place)
                    AtomicWord(at: slot).storeReleasing(stamp)
                } else {
                    result = bounded.send(from: place, times: times)
                }
            } else if let rendezvous = port.rendezvous {
                result = rendezvous.send(from: place, times: times)
            }
            guard let waiter = result.1 else {
                switch result.0 {
                case .done, .doneYieldDue: return note(.sent(element, to: index), me)
                case .timedOut: return note(.returned(element, .timedOut), me)
                case .finished: return note(.returned(element, .finished), me)
                case .abandoned: return note(.returned(element, .abandoned), me)
                default: return note(.returned(element, .full), me)
                }
            }
            sleep(waiter, index, me)
            if waiter.isSteward { serve(port, isSender: true) }
            let verdict = waiter.verdict
            if verdict != .granted {
                PlainAccess.read(waiter.payload(port.core.layout))
                let back = waiter.payload(port.core.layout).load(as: Int.self)
                ModelRuntime.expect(back == element, "\(back) came back for \(element)")
            }
            if let rendezvous = port.rendezvous {
                rendezvous.release(waiter, isSender: true)
            } else {
                waiter.deallocate(payload: port.core.layout)
            }
            switch verdict {
            case .granted: note(.sent(element, to: index), me)
            case .cancelled: note(.returned(element, .cancelled), me)
            case .timedOut: note(.returned(element, .timedOut), me)
            case .finished: note(.returned(element, .finished), me)
            case .abandoned, .none: note(.returned(element, .abandoned), me)
            }
        }

        func receive(from index: Int, waits: Bool, by me: Int) {
            let (port, place) = (ports[index], scratch(me))
            let times = waits ? WaitTimes(now: 0, deadline: deadline) : nil
            var result: (ChannelOutcome, WaiterRef?) = (.done, nil)
            if let bounded = port.bounded {
                if case .claimed(let slot, let stamp) = bounded.ring.claimForReceive(stride: bounded.layout.stride) {
                    PlainAccess.read(slot + bounded.layout.elementOffset)
                    bounded.move(place, slot + bounded.layout.elementOffset)
                    AtomicWord(at: slot).storeReleasing(stamp)
                } else {
                    result = bounded.receive(into: place, times: times)
                }
            } else if let rendezvous = port.rendezvous {
                result = rendezvous.receive(into: place, times: times)
            }
            guard let waiter = result.1 else {
                switch result.0 {
                case .done, .doneYieldDue: return note(.received(place.load(as: Int.self), from: index), me)
                case .timedOut: return note(.ended(.timedOut), me)
                case .finished, .abandoned: return note(.ended(nil), me)
                default: return note(.nothing, me)
                }
            }
            if result.0 == .registeredPending {
                while port.core.mustPoll(waiter) { awaitPublish(in: port, or: waiter) }
            }
            sleep(waiter, index, me)
            if waiter.isSteward { serve(port, isSender: false) }
            let verdict = waiter.verdict
            var element = Int.min
            if verdict == .granted {
                PlainAccess.read(waiter.payload(port.core.layout))
                element = waiter.payload(port.core.layout).load(as: Int.self)
            }
            if let rendezvous = port.rendezvous {
                rendezvous.release(waiter, isSender: false)
            } else {
                waiter.deallocate(payload: port.core.layout)
            }
            switch verdict {
            case .granted: note(.received(element, from: index), me)
            case .cancelled: note(.ended(.cancelled), me)
            case .timedOut: note(.ended(.timedOut), me)
            case .finished, .abandoned, .none: note(.ended(nil), me)
            }
        }

        func select(_ cases: [Case], from start: Int, waits: Bool, by me: Int) {
            var offers: [Int: SendOffer<Int>] = [:]
            let arms: [OutputArm<Void>] = cases.enumerated().map { index, item in
                switch item {
                case .receive(let channel): return ReceiveArm<Int, Void>(core: ports[channel].core) { _ in }
                case .send(let element, let channel):
                    let offer = SendOffer(element)
                    offers[index] = offer
                    return SendArm<Int, Void>(core: ports[channel].core, offer: offer) { _ in }
                }
            }
            var chosen: Int?
            for offset in 0..<arms.count where chosen == nil {
                let index = (start + offset) % arms.count
                if arms[index].attempt() != .wouldWait { chosen = index }
            }
            if chosen == nil, waits {
                var run = SelectRun(
                    arms: arms, selection: Selection(rank: UInt(hasFallingRanks ? 8 - me : me)))
                run.link(from: start, times: WaitTimes(now: 0, deadline: deadline))
                if !run.isServed {
                    while run.mustPoll() {
                        let port = ports.first { port in run.pendingCores.contains { $0 === port.core } }
                        if let port { awaitPublish(in: port, or: run.selection.home) }
                    }
                    sleep(run.selection.home, run.selection, me)
                }
                let conclusion = run.conclude()
                if let duty = run.duty, let port = ports.first(where: { $0.core === duty.core }) {
                    serve(port, isSender: duty.isSender)
                }
                switch conclusion {
                case .chosen(let index): chosen = index
                case .cancelled: note(.ended(.cancelled), me)
                case .timedOut: note(.ended(.timedOut), me)
                }
            } else if chosen == nil {
                note(.nothing, me)
            }
            if let chosen { noteChoice(cases[chosen], arms[chosen], me) }
            for (index, item) in cases.enumerated() where index != chosen {
                guard case .send(let element, _) = item else { continue }
                let back = offers[index]?.take()
                ModelRuntime.expect(back == element, "\(element) is not back in its offer, but \(back ?? .min)")
            }
        }

        private func noteChoice(_ item: Case, _ arm: OutputArm<Void>, _ me: Int) {
            if case .send(let element, let channel) = item, let arm = arm as? SendArm<Int, Void> {
                switch arm.result() {
                case .sent: note(.sent(element, to: channel), me)
                case .dropped: ModelRuntime.fail("\(element) was dropped")
                case .returned(let rejected):
                    ModelRuntime.expect(rejected.element == element, "\(rejected.element) came back for \(element)")
                    note(.returned(element, rejected.reason), me)
                }
            } else if case .receive(let channel) = item, let arm = arm as? ReceiveArm<Int, Void> {
                if let element = arm.take() {
                    note(.received(element, from: channel), me)
                } else {
                    note(.ended(nil), me)
                }
            }
        }

        func finish(_ index: Int, abandoning: Bool = false) {
            if let bounded = ports[index].bounded {
                if abandoning { bounded.abandon() } else { bounded.finish(failure: nil) }
            } else {
                ports[index].rendezvous?.close(abandoning ? .abandoned : .finished, failure: nil)
            }
        }

        func timerRings(_ index: Int) {
            if let bounded = ports[index].bounded {
                _ = bounded.timerRang(generation: .max)
            } else {
                _ = ports[index].rendezvous?.timerRang(generation: .max)
            }
        }

        /// Cancels the wait of thread `other`, if it waits by now.
        func cancelWait(of other: Int) {
            // The runtime's own lock: a handler that runs keeps `withTaskCancellationHandler` from returning.
            ModelRuntime.lock(words + other * 8)
            let word = ModelRuntime.atomicLoad(words + other * 8, .acquiring)
            if let pointer = UnsafeMutablePointer<Waiter>(bitPattern: UInt(word)) {
                cancellers[other]?.cancel(WaiterRef(pointer))
            }
            ModelRuntime.unlock(words + other * 8)
        }

        /// What a steward does once it is awake.
        private func serve(_ port: Port, isSender: Bool) {
            while port.core.mustStayOn(isSender: isSender) { awaitPublish(in: port, or: nil) }
        }

        /// A poll that changes nothing is no step worth exploring: the next one comes when the head slot is published
        /// or received, or the wait has ended.
        private func awaitPublish(in port: Port, or waiter: WaiterRef?) {
            guard let ring = port.bounded?.ring else { return }
            let word = ring.head.loadAcquiring() & RingWord.position
            // Meanwhile it may have been received: then there is nothing to wait for.
            guard ring.tail.loadAcquiring() & RingWord.position != word else { return }
            let slot = ring.slot(word, stride: SlotLayout(of: Int.self).stride)
            let unpublished = ring.geometry.freeStamp(word)
            if let waiter {
                ModelRuntime.park(on: slot, or: waiter.cellAddress) { $0 == unpublished && $1 == WaiterRef.empty }
            } else {
                ModelRuntime.park(on: slot, or: ring.base + 136) {
                    $0 == unpublished && $1 & RingWord.position == word
                }
            }
        }

        private func sleep(_ waiter: WaiterRef, _ index: Int, _ me: Int) {
            if let bounded = ports[index].bounded {
                sleep(waiter, bounded, me)
            } else if let rendezvous = ports[index].rendezvous {
                sleep(waiter, rendezvous, me)
            }
        }

        /// What `WaiterRef.sleep` does: the swap that offers the continuation, and the wait for its resumption.
        private func sleep(_ waiter: WaiterRef, _ canceller: any WaitCanceller, _ me: Int) {
            cancellers[me] = canceller
            ModelRuntime.atomicStore(words + me * 8, UInt64(UInt(bitPattern: waiter.pointer)), .releasing)
            if waiter.park(SleepingTask(bits: 1000 + UInt64(me))) {
                ModelRuntime.park(on: waiter.cellAddress, while: { $0 != WaiterRef.resumed })
            }
            _ = waiter.isResumed
            ModelRuntime.lock(words + me * 8)
            ModelRuntime.atomicStore(words + me * 8, 0, .releasing)
            ModelRuntime.unlock(words + me * 8)
        }

        private func note(_ note: Note, _ me: Int) { notes[me].append(note) }
    }

    // MARK: - The contract

    extension SelectBench {
        private static func all(_ first: WaiterRef?) -> [WaiterRef] {
            var list: [WaiterRef] = []
            var next = first
            while let waiter = next {
                list.append(waiter)
                next = waiter.pointer.pointee.next.map(WaiterRef.init)
            }
            return list
        }

        /// Nobody can move: whoever waits must have no one to meet, no element, no room.
        ///
        /// Then all are sent home.
        func rescue() {
            for (index, port) in ports.enumerated() {
                if let bounded = port.bounded {
                    bounded.withState { state, _ in
                        bounded.gate(&state)
                        let depth = bounded.depth(state)
                        ModelRuntime.expect(
                            state.receivers.isEmpty || depth == 0, "channel \(index): a receiver sleeps before \(depth)"
                        )
                        ModelRuntime.expect(
                            state.senders.isEmpty || depth == bounded.capacity,
                            "channel \(index): a sender sleeps at \(depth)")
                        bounded.settle(&state)
                    }
                } else {
                    port.rendezvous?.state.withLock { state in
                        for sender in Self.all(state.senders.first) {
                            for receiver in Self.all(state.receivers.first) {
                                ModelRuntime.expect(
                                    sender.selection != nil && sender.selection === receiver.selection,
                                    "channel \(index): a sender and a receiver sleep side by side")
                            }
                        }
                    }
                }
            }
            for index in ports.indices { finish(index) }
        }

        /// Delivered xor handed back, on every channel; no waiter and no deadline left, the gate open.
        func check() {
            let all = notes.joined()
            for (index, port) in ports.enumerated() {
                var rest: [Int] = []
                if let bounded = port.bounded {
                    let isLeft = bounded.state.withLock { state in
                        !(state.senders.isEmpty && state.receivers.isEmpty && state.deadlines.isEmpty)
                            || state.hasSenderSteward || state.hasReceiverSteward
                    }
                    ModelRuntime.expect(!isLeft, "channel \(index): somebody is still linked")
                    _ = bounded.snapshot()
                    let words = bounded.ring.tail.loadRelaxed() | bounded.ring.head.loadRelaxed()
                    // At rest it may stay closed for an element beside the ring: the next operation moves it in.
                    let isNeeded = bounded.state.withLock { !$0.spill.isEmpty || $0.debt > 0 }
                    ModelRuntime.expect(
                        words & RingWord.gate == 0 || isNeeded, "channel \(index): the gate is closed at rest")
                    while case .done = bounded.attemptReceive(into: scratch(7)) {
                        rest.append(scratch(7).load(as: Int.self))
                    }
                    ModelRuntime.expect(rest.count <= bounded.capacity, "channel \(index) held \(rest)")
                } else {
                    let isLeft =
                        port.rendezvous?.state.withLock { state in
                            !(state.senders.isEmpty && state.receivers.isEmpty && state.deadlines.isEmpty)
                        } ?? false
                    ModelRuntime.expect(!isLeft, "channel \(index): somebody is still linked")
                }
                var sent = (0..<prefilled[index]).map { -1 - $0 - 10 * index }
                var out = rest
                for note in all {
                    if case .sent(let element, index) = note { sent.append(element) }
                    if case .received(let element, index) = note { out.append(element) }
                }
                ModelRuntime.expect(
                    sent.sorted() == out.sorted(), "channel \(index): sent \(sent), but out \(out): \(notes.prefix(4))")
                if let rendezvous = port.rendezvous {
                    let count = rendezvous.snapshot().handedOver
                    ModelRuntime.expect(count == UInt64(sent.count), "\(count) counted of \(sent.count)")
                }
            }
        }
    }
#endif
