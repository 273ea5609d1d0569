// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A channel under the model checker: the shipped code, with a thread's sleep in place of the `await`.
//
// `send` and `receive` below repeat the few lines of `BoundedChannel.sendSlow` and `receiveSlow` that suspend; all
// else is the shipped code. What each operation came to is noted, and `check` holds the notes against the contract.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import BackpressureTestSupport
    import ModelChecker

    /// One channel of integers, and what the operations on it came to.
    final class ChannelBench: @unchecked Sendable {
        enum Note: Equatable {
            case sent(Int)
            case dropped(Int)
            case returned(Int, Rejection)
            case received(Int)
            case ended(Rejection?)
            case empty
            case number(Int)
            case flag(Bool)
            case done
        }

        /// A send or receive that had to wait: its element, and where its side stood when it was registered.
        struct Wait {
            let element: Int
            let ordinal: UInt64
        }

        /// A wait that a script has begun; nil where the operation did not have to wait.
        struct Begun {
            let waiter: WaiterRef?
            /// Nil for a receiver.
            let element: Int?
        }

        let channel: BoundedChannel<Int, Never>
        private(set) var notes: [[Note]] = Array(repeating: [], count: 8)
        /// What was done when, if it is to be judged as a history.
        private(set) var history: [ChannelOperation] = []
        private(set) var waits: [Wait] = []
        /// Receives that had to wait and got an element.
        private(set) var receivedWaiting: [Wait] = []
        /// Elements of sends and receives whose task was told to yield.
        private(set) var yields: [Int] = []
        /// Operations whose task would have yielded for a steward on its way.
        private(set) var turns = 0
        private var begun: [[Begun]] = Array(repeating: [], count: 8)
        private var sleeps = [UInt](repeating: 0, count: 8)
        private let lockedBefore: UInt64
        /// Elements that came back with another one of their batch; of a batch of one thread.
        private var refusedBesides = 0
        /// Which threads have room reserved.
        private(set) var hasRoom = [Bool](repeating: false, count: 8)
        /// What was still in when all threads had finished.
        private(set) var rest: [Int] = []
        private let waiterWords = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)
        let prefilled: Int
        private let deadline: Int64
        private let start: UInt64
        private let hasSwappedStores: Bool
        private let low: Int
        /// Whether the capacity may have fallen below what was in.
        private var isResized = false

        init(
            capacity: Int, maximumCapacity: Int? = nil, overflow: OverflowPolicy = .suspend, marks: Marks? = nil,
            fairness: Fairness = .fifo, filled: Int = 0, deadline: Int64 = .max, hasSwappedStores: Bool = false,
            start: UInt64 = 0, yieldIn: UInt64 = ChannelCore.yieldInterval
        ) {
            self.deadline = overflow.patience == nil ? deadline : 1
            low = marks?.low ?? 0
            self.hasSwappedStores = hasSwappedStores
            final class Sink: @unchecked Sendable { var elements: [(Int, Rejection)] = [] }
            let sink = Sink()
            let edges = EdgeLog()
            channel = BoundedChannel(
                capacity: capacity, maximumCapacity: maximumCapacity, overflow: overflow,
                watermarks: marks.map { Watermarks(low: $0.low, high: $0.high) { edge in edges.note(edge) } },
                fairness: fairness,
                onUndelivered: { element, reason in sink.elements.append((element, reason)) })
            prefilled = filled
            if start > 0 { channel.startAt(start, yieldIn: yieldIn) }
            self.start = start
            // The timer of a model is a thread of the model, not a task.
            channel.core.state.withLock { $0.deadlines = Deadlines(armedFor: .min) }
            for index in 0..<filled { _ = channel.trySend(-1 - index) }
            lockedBefore = channel.core.state.withLock { $0.lockedOperations }
            collect = { sink.elements }
            self.edges = edges
            for index in 0..<8 { waiterWords.storeBytes(of: 0, toByteOffset: index * 8, as: UInt64.self) }
        }

        /// What the hook was given.
        let collect: () -> [(Int, Rejection)]

        /// What the watermarks' hook was told.
        let edges: EdgeLog

        deinit { waiterWords.deallocate() }

        // MARK: Operations of thread `me`

        func send(_ element: Int, by me: Int) {
            if case .claimed(let slot, let stamp) = channel.ring.claimForSend(stride: SlotLayout(of: Int.self).stride) {
                publish(element, slot, stamp)
                return note(.sent(element), me)
            }
            var slot: Int? = element
            let (outcome, waiter) = offer(&slot)
            if outcome == .doneYieldDue { yields.append(element) }
            guard let waiter else { return noteAnswer(channel.answer(outcome, &slot, refusal: .full), element, me) }
            waits.append(Wait(element: element, ordinal: waiter.pointer.pointee.ordinal))
            sleep(waiter, me)
            concludeSend(waiter, element, me)
        }

        /// Asks once more where the task would yield for a steward on its way.
        private func offer(_ slot: inout Int?) -> (outcome: ChannelOutcome, waiter: WaiterRef?) {
            let times = sendTimes
            let first = channel.offer(&slot, times: times, defers: true)
            guard first.outcome == .wouldWait, times != nil else { return first }
            turns += 1
            return channel.offer(&slot, times: times)
        }

        private func poll(_ slot: inout Int?) -> (outcome: ChannelOutcome, waiter: WaiterRef?) {
            let times = WaitTimes(now: 0, deadline: deadline)
            let first = channel.poll(&slot, times: times, defers: true)
            guard first.outcome == .wouldWait else { return first }
            turns += 1
            return channel.poll(&slot, times: times)
        }

        /// What the task of a send does once it is awake.
        private func concludeSend(_ waiter: WaiterRef, _ element: Int, _ me: Int) {
            if waiter.pointer.pointee.isSteward { serve(isSender: true) }
            noteAnswer(channel.conclude(waiter), element, me)
        }

        // MARK: Scripts
        //
        // One thread that begins waits and goes on as others would: nothing is left to chance, so answers and costs can
        // be told in advance.

        /// A send up to its sleep.
        func beginSend(_ element: Int, by me: Int) {
            var slot: Int? = element
            let (outcome, waiter) = offer(&slot)
            if waiter == nil { noteAnswer(channel.answer(outcome, &slot, refusal: .full), element, me) }
            if let waiter { waits.append(Wait(element: element, ordinal: waiter.pointer.pointee.ordinal)) }
            begun[me].append(Begun(waiter: waiter, element: element))
        }

        /// A receive up to its sleep.
        func beginReceive(by me: Int) {
            var slot: Int?
            let (outcome, waiter) = poll(&slot)
            if let slot { note(.received(slot), me) } else if waiter == nil { note(.ended(nil), me) }
            if let waiter, outcome == .registeredPending { poll(waiter) }
            begun[me].append(Begun(waiter: waiter, element: nil))
        }

        /// The task of the thread's `index`th begun wait sleeps, if its waker is not done yet, and goes on.
        func conclude(_ index: Int, by me: Int) {
            let wait = begun[me][index]
            guard let waiter = wait.waiter else { return }
            sleep(waiter, me)
            if let element = wait.element { concludeSend(waiter, element, me) } else { concludeReceive(waiter, me) }
        }

        /// What `ChannelCore.sendTimes` says, on a clock that stands still.
        private var sendTimes: WaitTimes? {
            guard channel.core.isSuspending else { return nil }
            return WaitTimes(now: 0, deadline: deadline, fallsBack: channel.core.overflow.patience != nil)
        }

        /// A batch that takes no waiting; each element is noted by itself.
        func trySend(_ elements: [Int], by me: Int) {
            let result = channel.trySend(contentsOf: elements)
            // Refused once, although several elements come back.
            refusedBesides += max(0, elements.count - result.accepted - 1)
            for (index, element) in elements.enumerated() {
                note(index < result.accepted ? .sent(element) : .returned(element, .full), me)
            }
        }

        func resize(_ capacity: Int, by me: Int) {
            isResized = true
            channel.resize(capacity: capacity)
            note(.done, me)
        }

        func trySend(_ element: Int, by me: Int) { noteAnswer(channel.trySend(element), element, me) }

        func receive(by me: Int) {
            let claim = channel.ring.claimForReceive(stride: SlotLayout(of: Int.self).stride)
            if case .claimed(let slot, let stamp) = claim {
                return note(.received(take(slot, stamp)), me)
            }
            var slot: Int?
            let (outcome, waiter) = poll(&slot)
            if outcome == .doneYieldDue, let slot { yields.append(slot) }
            guard let waiter else {
                if let slot { return note(.received(slot), me) }
                return note(.ended(nil), me)
            }
            if outcome == .registeredPending { poll(waiter) }
            sleep(waiter, me)
            concludeReceive(waiter, me)
        }

        private func poll(_ waiter: WaiterRef) {
            while channel.core.mustPoll(waiter) { awaitPublish(or: waiter.cellAddress) }
        }

        /// What the task of a receive does once it is awake.
        private func concludeReceive(_ waiter: WaiterRef, _ me: Int) {
            if waiter.pointer.pointee.isSteward { serve(isSender: false) }
            let verdict = waiter.verdict
            var slot: Int?
            if verdict == .granted {
                PlainAccess.read(channel.core.payload(of: waiter))
                slot = channel.core.payload(of: waiter).assumingMemoryBound(to: Int.self).move()
                if let slot { receivedWaiting.append(Wait(element: slot, ordinal: waiter.pointer.pointee.ordinal)) }
            }
            channel.core.release(waiter)
            switch verdict {
            case .granted: note(.received(slot ?? .min), me)
            case .cancelled: note(.ended(.cancelled), me)
            case .timedOut: note(.ended(.timedOut), me)
            case .finished, .abandoned, .none: note(.ended(nil), me)
            }
        }

        func tryReceive(by me: Int) {
            switch channel.tryReceive() {
            case .received(let element): note(.received(element), me)
            case .empty: note(.empty, me)
            case .finished: note(.ended(nil), me)
            }
        }

        func reserve(_ count: Int = 1, by me: Int) {
            let (outcome, waiter) = channel.core.reserve(count: count, times: sendTimes)
            guard let waiter else {
                switch outcome {
                case .done: break
                case .dropped: return note(.returned(.min, .exceedsLimit), me)
                case .wouldWait:
                    // As the typed surface does.
                    channel.core.noteRefusal()
                    return note(.returned(.min, .full), me)
                case .timedOut: return note(.returned(.min, .timedOut), me)
                case .finished: return note(.returned(.min, .finished), me)
                default: return note(.returned(.min, .abandoned), me)
                }
                hasRoom[me] = true
                return note(.flag(true), me)
            }
            sleep(waiter, me)
            if waiter.isSteward { serve(isSender: true) }
            let verdict = waiter.verdict
            let reason = channel.core.reasonOfTimeout(waiter)
            channel.core.releaseReserving(waiter)
            switch verdict {
            case .granted:
                hasRoom[me] = true
                note(.flag(true), me)
            case .cancelled: note(.returned(.min, .cancelled), me)
            case .timedOut: note(.returned(.min, reason), me)
            case .finished: note(.returned(.min, .finished), me)
            case .abandoned, .none:
                note(.returned(.min, channel.core.isAbandoned ? .abandoned : .exceedsLimit), me)
            }
        }

        func fill(_ element: Int, by me: Int) {
            guard hasRoom[me] else { return }
            hasRoom[me] = false
            noteAnswer(channel.fillReserved(element), element, me)
        }

        func giveBack(_ count: Int = 1, by me: Int) {
            guard hasRoom[me] else { return }
            hasRoom[me] = false
            channel.core.giveBack(count)
            note(.flag(false), me)
        }

        /// As `BoundedChannel.untilDrained`; after it the channel has ended.
        func untilDrained(by me: Int) {
            if let waiter = channel.core.watchDrain() {
                sleep(waiter, me)
                let verdict = waiter.verdict
                channel.core.releaseReserving(waiter)
                guard verdict == .granted else { return note(.ended(.cancelled), me) }
            }
            let snapshot = channel.snapshot()
            ModelRuntime.expect(
                snapshot.isClosed && snapshot.depth == 0 && (snapshot.reserved == 0 || channel.core.isAbandoned),
                "drained, but \(snapshot)")
            note(.done, me)
        }

        func count(by me: Int) {
            let count = channel.count
            ModelRuntime.expect(isResized || 0...channel.capacity ~= count, "a count of \(count)")
            note(.number(count), me)
        }

        func isClosed(by me: Int) { note(.flag(channel.isClosed), me) }

        func isFinished(by me: Int) { note(.flag(channel.isFinished), me) }

        func record(_ operation: ChannelOperation) { history.append(operation) }

        /// The shipped publish; or, planted, the stamp stored before the element.
        private func publish(_ element: Int, _ slot: UnsafeMutableRawPointer, _ stamp: UInt64) {
            if hasSwappedStores { AtomicWord(at: slot).storeReleasing(stamp) }
            channel.publish(element, in: slot, stamp: stamp)
        }

        /// The shipped take; or, planted, the slot given back before the element is out.
        private func take(_ slot: UnsafeMutableRawPointer, _ stamp: UInt64) -> Int {
            if hasSwappedStores { AtomicWord(at: slot).storeReleasing(stamp) }
            return channel.take(from: slot, stamp: stamp)
        }

        /// Cancels the wait of thread `other`, if it waits by now.
        func cancelWait(of other: Int) {
            // The runtime's own lock: a handler that runs keeps `withTaskCancellationHandler` from returning.
            ModelRuntime.lock(waiterWords + other * 8)
            let word = ModelRuntime.atomicLoad(waiterWords + other * 8, .acquiring)
            if let pointer = UnsafeMutablePointer<Waiter>(bitPattern: UInt(word)) {
                channel.core.cancel(WaiterRef(pointer))
            }
            ModelRuntime.unlock(waiterWords + other * 8)
        }

        func timerRings() { _ = channel.core.timerRang(generation: .max) }

        /// A poll that changes nothing is no step worth exploring: the next one comes when the head slot is published
        /// or the wait has ended.
        private func awaitPublish(or cell: UnsafeMutableRawPointer?) {
            let ring = channel.ring
            let word = ring.head.loadAcquiring() & RingWord.position
            // Meanwhile it may have been received: then there is nothing to wait for.
            guard ring.tail.loadAcquiring() & RingWord.position != word else { return }
            let slot = ring.slot(word, stride: SlotLayout(of: Int.self).stride)
            let unpublished = ring.geometry.freeStamp(word)
            if let cell {
                ModelRuntime.park(on: slot, or: cell) { $0 == unpublished && $1 == WaiterRef.empty }
            } else {
                ModelRuntime.park(on: slot, or: ring.base + 136) {
                    $0 == unpublished && $1 & RingWord.position == word
                }
            }
        }

        /// What a steward does in `ChannelCore.wait`.
        private func serve(isSender: Bool) {
            while channel.core.mustStayOn(isSender: isSender) { awaitPublish(or: nil) }
        }

        /// What `WaiterRef.sleep` does: the swap that offers the continuation, and the wait for its resumption.
        private func sleep(_ waiter: WaiterRef, _ me: Int) {
            ModelRuntime.atomicStore(waiterWords + me * 8, UInt64(UInt(bitPattern: waiter.pointer)), .releasing)
            sleeps[me] += 1
            if waiter.park(SleepingTask(frame: 1000 + UInt(me) * 256 + sleeps[me])) {
                ModelRuntime.park(on: waiter.cellAddress, acquiring: false, while: { $0 != WaiterRef.resumed })
            }
            ModelRuntime.expect(waiter.isResumed, "a task went on before its wait was over")
            ModelRuntime.lock(waiterWords + me * 8)
            ModelRuntime.atomicStore(waiterWords + me * 8, 0, .releasing)
            ModelRuntime.unlock(waiterWords + me * 8)
        }

        private func noteAnswer(_ answer: SendResult<Int>, _ element: Int, _ me: Int) {
            switch answer {
            case .sent: note(.sent(element), me)
            case .dropped: note(.dropped(element), me)
            case .returned(let rejected):
                ModelRuntime.expect(rejected.element == element, "\(rejected.element) came back for \(element)")
                note(.returned(element, rejected.reason), me)
            }
        }

        private func note(_ note: Note, _ me: Int) { notes[me].append(note) }
    }

    // MARK: - The contract

    extension ChannelBench {
        func has(_ note: Note) -> Bool { notes.joined().contains(note) }

        /// All that came out, in each receiver's order; then what is still in.
        private func drained() -> [Int] {
            var rest: [Int] = []
            while case .received(let element) = channel.tryReceive() { rest.append(element) }
            return rest
        }

        /// Delivered xor handed back, order, nobody left behind, the gate open: after any execution.
        func check() {
            checkLimits()
            let snapshot = channel.snapshot()
            ModelRuntime.expect(
                snapshot.depth >= 0 && (isResized || snapshot.depth <= channel.capacity), "depth \(snapshot.depth)")
            ModelRuntime.expect(
                snapshot.waitingSenders == 0 && snapshot.waitingReceivers == 0, "somebody still waits: \(snapshot)")
            // A gate may stay closed at rest only for an element beside the ring or an eviction owed; one look opens it.
            let words = channel.ring.tail.loadRelaxed() | channel.ring.head.loadRelaxed()
            let isNeeded = channel.core.state.withLock { !$0.spill.isEmpty || $0.debt > 0 || $0.pressure.isPaused }
            ModelRuntime.expect(words & RingWord.gate == 0 || isNeeded, "the gate is closed at rest for no reason")
            checkPressure(snapshot)
            let rest = drained()
            self.rest = rest
            let isClosed = snapshot.isClosed
            ModelRuntime.expect(channel.isClosed == isClosed, "the word and the state disagree about the end")
            let undelivered = collect()

            var sent: [Int: Int] = [:]
            for index in 0..<prefilled { sent[-1 - index] = 1 }
            var out: [Int: Int] = [:]
            var dropped: [Int] = []
            for note in notes.joined() {
                switch note {
                case .sent(let element): sent[element, default: 0] += 1
                case .received(let element): out[element, default: 0] += 1
                case .dropped(let element): dropped.append(element)
                case .returned, .ended, .empty, .number, .flag, .done: break
                }
            }
            for element in rest { out[element, default: 0] += 1 }
            for (element, reason) in undelivered {
                if reason == .full {
                    ModelRuntime.expect(dropped.contains(element), "\(element) reported dropped, but was not")
                } else {
                    out[element, default: 0] += 1
                }
            }
            ModelRuntime.expect(
                sent == out, "sent \(sent) but received, left or undelivered \(out); notes \(notes.prefix(4))")
            ModelRuntime.expect(
                snapshot.sent &- start == UInt64(sent.count),
                "snapshot counts \(snapshot.sent) sends, there were \(sent.count)")
            if has(.ended(nil)), !undelivered.contains(where: { $0.1 == .abandoned }) {
                ModelRuntime.expect(rest.isEmpty, "\(rest) came after a receiver had been told of the end")
            }
            checkOrder(rest)
            let refusals = notes.joined().filter { if case .returned(_, .full) = $0 { true } else { false } }.count
            ModelRuntime.expect(
                snapshot.refused == UInt64(refusals - refusedBesides),
                "\(snapshot.refused) counted as refused, not \(refusals - refusedBesides)")
            if !isClosed, snapshot.reserved == 0 { checkRingAlone() }
        }

        /// At rest the ring serves a lap, and knows full from empty: no slot is lost, no flag or limit left behind.
        ///
        /// It does so alone, except where a limit below the ring's end makes senders ask: a smaller capacity, or watermarks.
        private func checkRingAlone() {
            func locked() -> UInt64 { channel.core.state.withLock { $0.lockedOperations } }
            let before = locked()
            for index in 0..<channel.capacity {
                ModelRuntime.expect(channel.trySend(1_000 + index).isSent, "no room in an empty channel")
            }
            if channel.core.refusesWhenFull {
                guard case .returned(let rejected) = channel.trySend(-1_000), rejected.reason == .full else {
                    ModelRuntime.fail("a full channel took one more")
                }
            }
            for index in 0..<channel.capacity {
                guard case .received(let element) = channel.tryReceive(), element == 1_000 + index else {
                    ModelRuntime.fail("not what was sent at rest")
                }
            }
            guard case .empty = channel.tryReceive() else { ModelRuntime.fail("more than was sent") }
            let asks = channel.capacity < channel.core.ring.geometry.capacity || channel.core.watermarks != nil
            ModelRuntime.expect(locked() == before || asks, "at rest the ring alone does not do")
        }

        /// Elements of one sender (their tens digit) never pass each other, in any one receiver's eyes.
        private func checkOrder(_ rest: [Int]) {
            var sequences = notes.map { notes in
                notes.compactMap { note in if case .received(let element) = note { element } else { nil } }
            }
            sequences.append(rest)
            for sequence in sequences {
                var last: [Int: Int] = [:]
                for element in sequence where element >= 0 {
                    ModelRuntime.expect(
                        (last[element / 10] ?? -1) < element, "order of sender \(element / 10) broken: \(sequence)")
                    last[element / 10] = element
                }
            }
            ModelRuntime.expect(
                isResized || rest.count <= channel.capacity, "\(rest.count) elements in \(channel.capacity)")
        }

        /// A pause has its reason, and the hook was told of it; edges alternate.
        func checkPressure(_ snapshot: ChannelSnapshot) {
            let level = snapshot.depth + snapshot.reserved
            ModelRuntime.expect(
                !snapshot.isPaused || level > min(low, snapshot.capacity - 1), "paused for no reason: \(snapshot)")
            edges.check(isPaused: snapshot.isPaused)
        }

        /// With the gate open and nobody waiting, the limits are those of the room and of the cooperative budget.
        private func checkLimits() {
            guard (channel.ring.tail.loadRelaxed() | channel.ring.head.loadRelaxed()) & RingWord.gate == 0 else {
                return
            }
            let (tail, head) = channel.core.state.withLock { (min($0.tailYield, $0.roomLimit), $0.headYield) }
            ModelRuntime.expect(channel.ring.tailLimit.loadRelaxed() == tail, "a limit of senders is left behind")
            ModelRuntime.expect(channel.ring.headLimit.loadRelaxed() == head, "a limit of receivers is left behind")
        }

        /// What a script must come to, and what it may cost; before anything else is checked.
        func check(_ script: Script) {
            let locked = channel.core.state.withLock { $0.lockedOperations } - lockedBefore
            ModelRuntime.expect(notes[0] == script.answers, "answers \(notes[0]), not \(script.answers)")
            ModelRuntime.expect(yields == script.yields, "told to yield \(yields), not \(script.yields)")
            ModelRuntime.expect(turns == script.turns, "\(turns) gave a steward a turn, not \(script.turns)")
            ModelRuntime.expect(locked <= script.locked, "\(locked) operations took the lock, not \(script.locked)")
        }

        /// Nobody came to the lock; before anything else is checked.
        func checkUncontended() {
            let locked = channel.core.state.withLock { $0.lockedOperations }
            ModelRuntime.expect(locked == 0, "\(locked) operations took the lock, with nobody else there")
        }

        /// No send was refused.
        func checkNeverFull() {
            for note in notes.joined() {
                if case .returned(let element, .full) = note {
                    ModelRuntime.fail("\(element) was refused for no reason")
                }
            }
        }

        /// With one receiver, `me`, who took all but the rest: how many newcomers passed each waiting sender.
        ///
        /// `bound` places behind the one where its side stood may be taken by anybody; then it is served, or those ahead
        /// of it.
        func checkBypass(receiver me: Int, bound: Int) {
            var order: [Int] = []
            for note in notes[me] { if case .received(let element) = note { order.append(element) } }
            order += rest
            for wait in waits {
                guard let place = order.firstIndex(of: wait.element) else { continue }
                checkPlace(place, of: wait, among: waits, order, bound: bound)
            }
        }

        /// With one sender, `me`, of everything: how many newcomers passed each waiting receiver.
        func checkReceiverBypass(sender me: Int, bound: Int) {
            let order = notes[me].compactMap { note in if case .sent(let element) = note { element } else { nil } }
            for wait in receivedWaiting {
                guard let place = order.firstIndex(of: wait.element) else {
                    ModelRuntime.fail("\(wait.element) was never sent: \(order)")
                }
                checkPlace(place, of: wait, among: receivedWaiting, order, bound: bound)
            }
        }

        private func checkPlace(_ place: Int, of wait: Wait, among waits: [Wait], _ order: [Int], bound: Int) {
            let first = Int(wait.ordinal &- start) + bound
            guard place > first else { return }
            let earlier = Set(waits.filter { $0.ordinal <= wait.ordinal }.map(\.element))
            let passed = order[first..<place].filter { !earlier.contains($0) }
            ModelRuntime.expect(passed.isEmpty, "\(passed) passed \(wait.element) beyond \(bound) places: \(order)")
        }
    }
#endif
