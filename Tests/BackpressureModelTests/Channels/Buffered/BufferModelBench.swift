// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A buffer with rules under the model checker: the shipped code, with a thread's sleep in place of the `await`.
//
// `send` and `receive` below repeat the few lines of `BufferDoor` that suspend; all else is the shipped code, the fast path
// with its inlined lock included. The core verifies its invariants at every unlock of the slow path. The check balances
// the books: every element that was handed in is with a receiver, with its sender again, with the hook, or merged into
// another, once.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    /// One operation of a thread.
    enum BufferOp: Sendable {
        /// Sends an element to this lane; waits for room.
        case send(Int, lane: Int = 0, cost: Int = 1, ttl: Int64? = nil)
        case trySend(Int, lane: Int = 0, cost: Int = 1, ttl: Int64? = nil)
        case receive
        case tryReceive
        case finish
        case abandon
        case cancel(Int)
        case clock(Int64)
        case timerRings
        case watch
    }

    final class BufferModelBench: @unchecked Sendable {
        let door: BufferDoor<Int, Never>
        private let clock = ModelClock()
        private let deadline: Int64
        private let memory = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 64)
        private let hook: Hook
        private let filled: [Int]

        // Bookkeeping of the model: the threads are fibres of one OS thread, so no step is between.
        private var handedIn: [[Int]] = Array(repeating: [], count: 8)
        private var received: [[Int]] = Array(repeating: [], count: 8)
        private var returned: [[Int]] = Array(repeating: [], count: 8)
        private(set) var reasons: [Rejection] = []
        /// When an element had expired at the latest; kept in programs that move the clock.
        private var expiries: [Int: Int64] = [:]
        private let movesClock: Bool
        private let countsPasses: Bool

        final class Hook: @unchecked Sendable {
            var elements: [Int] = []
            var reasons: [Rejection] = []
        }

        private var waiterWords: UnsafeMutableRawPointer { memory }
        private var cancelFlags: UnsafeMutableRawPointer { memory + 64 }

        init(
            _ plan: BufferPlan, deadline: Int64, filled: [(Int, Int)], prelude: [BufferOp], movesClock: Bool,
            countsPasses: Bool
        ) {
            let hook = Hook()
            self.hook = hook
            self.deadline = deadline
            self.movesClock = movesClock
            self.countsPasses = countsPasses
            self.filled = filled.map(\.0)
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: 128)
            door = BufferDoor(
                plan, ttl: nil, costOf: nil, merger: ElementMerger { (old: Int, new: Int) in old | new }, clock: clock
            ) { element, reason in
                hook.elements.append(element)
                hook.reasons.append(reason)
            }
            // The timer of a model is a thread of the model, not a task.
            door.core.locked { $0.alarm = Alarm(armedFor: .min) }
            // A cell that was never used is the slow path's: with used ones the fast path is explored, too.
            door.core.locked { state in
                var cells: [CellPointer] = []
                while let cell = state.store.takeFresh() { cells.append(cell) }
                for cell in cells { state.store.give(cell) }
            }
            for (element, lane) in filled { _ = door.trySend(element, lane: lane, cost: 1, ttl: nil) }
            for operation in prelude { run(operation, by: 7) }
        }

        deinit { memory.deallocate() }

        func run(_ operation: BufferOp, by me: Int) {
            switch operation {
            case .send(let element, let lane, let cost, let ttl): send(element, lane, cost, ttl, me)
            case .trySend(let element, let lane, let cost, let ttl): trySend(element, lane, cost, ttl, me)
            case .receive: receive(me)
            case .tryReceive:
                let now = now
                if case .received(let element) = door.tryReceive() { got(element, now, me) }
            case .finish: door.core.finish(failure: nil)
            case .abandon: door.core.abandon()
            case .cancel(let other): cancelTask(of: other)
            case .clock(let now): clock.set(now)
            case .timerRings: _ = door.core.timerRang(generation: .max)
            case .watch:
                guard let waiter = door.core.watch() else { return }
                sleep(waiter, me)
                door.core.release(waiter)
            }
        }

        private func trySend(_ element: Int, _ lane: Int, _ cost: Int, _ ttl: Int64?, _ me: Int) {
            handedIn[me].append(element)
            let isWaiting = countsPasses && door.core.snapshot().waitingSenders > 0
            let result = door.trySend(element, lane: lane, cost: cost, ttl: ttl.map { .nanoseconds($0) })
            // With one wait in the program: it waited before and after, so it waited meanwhile.
            if isWaiting, result.isSent {
                ModelRuntime.expect(door.core.snapshot().waitingSenders == 0, "\(element) passed who waited")
            }
            noteExpiry(of: element, ttl)
            note(result, element, me)
        }

        private var now: Int64 { movesClock ? clock.now.nanoseconds : 0 }

        private func noteExpiry(of element: Int, _ ttl: Int64?) {
            if let ttl { expiries[element] = now + ttl }
        }

        private func got(_ element: Int, _ now: Int64, _ me: Int) {
            received[me].append(element)
            if let expiry = expiries[element] {
                ModelRuntime.expect(now < expiry, "\(element) was received at \(now), it had expired at \(expiry)")
            }
        }

        private func note(_ result: SendResult<Int>, _ element: Int, _ me: Int) {
            if case .returned(let rejected) = result {
                ModelRuntime.expect(rejected.element == element, "another element came back")
                returned[me].append(element)
                reasons.append(rejected.reason)
            }
        }

        // MARK: The few lines that suspend

        private func send(_ element: Int, _ lane: Int, _ cost: Int, _ ttl: Int64?, _ me: Int) {
            handedIn[me].append(element)
            let life = ttl.map { WaitLimit.timeout(.nanoseconds($0)) } ?? .none
            var slot: Int? = element
            defer { noteExpiry(of: element, ttl) }
            if ttl == nil, door.enter(&slot, lane: lane, cost: cost) { return }
            let waitLimit: WaitLimit = deadline == .max ? .none : .deadline(deadline)
            let limit = door.core.isSuspending ? waitLimit : nil
            let offer = door.core.offer(lane: lane, cost: cost, life: life, limit: limit)
            let (outcome, waiter) = door.show(&slot, offer)
            guard let waiter else { return note(door.answer(outcome, &slot, refusal: .full), element, me) }
            sleep(waiter, me)
            let end = door.core.outcome(ofSender: waiter)
            if end == .dropped {
                door.core.discard(door.core.element(of: waiter), .timedOut)
            } else if end != .done {
                slot = door.core.element(of: waiter).assumingMemoryBound(to: Int.self).move()
            }
            door.core.release(waiter)
            note(door.answer(end, &slot, refusal: .cancelled), element, me)
        }

        private func receive(_ me: Int) {
            var slot: Int?
            let now = now
            if !door.leave(&slot) {
                let limit: WaitLimit = deadline == .max ? .none : .deadline(deadline)
                let (_, waiter) = door.poll(&slot, times: door.core.waitTimes(limit))
                if let waiter {
                    sleep(waiter, me)
                    ModelRuntime.expect(waiter.verdict != .none, "a task woke without a verdict")
                    if waiter.verdict == .granted {
                        slot = door.core.element(of: waiter).assumingMemoryBound(to: Int.self).move()
                    }
                    door.core.release(waiter)
                }
            }
            // What a receiver that waited gets was sent meanwhile.
            if let slot { got(slot, now, me) }
        }

        /// What `WaiterRef.sleep` does: the handler, the swap that offers the continuation, the wait for its resumption.
        private func sleep(_ waiter: WaiterRef, _ me: Int) {
            ModelRuntime.lock(waiterWords + me * 8)
            ModelRuntime.atomicStore(waiterWords + me * 8, UInt64(UInt(bitPattern: waiter.pointer)), .releasing)
            if ModelRuntime.atomicLoad(cancelFlags + me * 8, .acquiring) != 0 { cancelWaiter(of: me) }
            ModelRuntime.unlock(waiterWords + me * 8)
            if waiter.park(SleepingTask(bits: 1000 + UInt64(me))) {
                ModelRuntime.park(on: waiter.cellAddress, while: { $0 != WaiterRef.resumed })
            }
            _ = waiter.isResumed
            ModelRuntime.lock(waiterWords + me * 8)
            ModelRuntime.atomicStore(waiterWords + me * 8, 0, .releasing)
            ModelRuntime.unlock(waiterWords + me * 8)
        }

        /// Cancels the task of thread `other`, wherever it is.
        private func cancelTask(of other: Int) {
            // The runtime's own lock: a handler that runs keeps `withTaskCancellationHandler` from returning.
            ModelRuntime.lock(waiterWords + other * 8)
            ModelRuntime.atomicStore(cancelFlags + other * 8, 1, .releasing)
            cancelWaiter(of: other)
            ModelRuntime.unlock(waiterWords + other * 8)
        }

        private func cancelWaiter(of thread: Int) {
            let word = ModelRuntime.atomicLoad(waiterWords + thread * 8, .acquiring)
            if let pointer = UnsafeMutablePointer<Waiter>(bitPattern: UInt(word)) {
                door.core.cancel(WaiterRef(pointer))
            }
        }

        // MARK: - The contract

        func check(conflates: Bool) {
            let snapshot = door.core.snapshot()
            ModelRuntime.expect(
                snapshot.waitingSenders == 0 && snapshot.waitingReceivers == 0, "somebody still waits: \(snapshot)")
            ModelRuntime.expect(
                snapshot.sent
                    == snapshot.received + UInt64(snapshot.depth) + snapshot.evicted + snapshot.expired
                    + snapshot.shed + snapshot.conflated + snapshot.abandoned, "the books do not balance: \(snapshot)")
            ModelRuntime.expect(
                snapshot.cost <= snapshot.capacity && snapshot.lanes.allSatisfy { $0.cost <= $0.capacity },
                "more is in than the bounds say: \(snapshot)")
            var rest: [Int] = []
            while case .received(let element) = door.tryReceive() { rest.append(element) }
            ModelRuntime.expect(rest.count <= snapshot.depth, "\(rest) came out of \(snapshot)")
            let got = received.joined() + rest
            ModelRuntime.expect(
                Int(snapshot.received) == received.joined().count, "\(received) received, counted: \(snapshot)")
            // Elements are single bits, so a merged one is the set of those that are in it.
            let ends = (got + returned.joined() + hook.elements).flatMap { element in
                (0..<16).filter { element >> $0 & 1 == 1 }
            }.sorted()
            let beginnings = (handedIn.joined() + filled).map { $0.trailingZeroBitCount }.sorted()
            ModelRuntime.expect(
                ends == beginnings || (conflates && Set(ends) == Set(beginnings)),
                "\(beginnings) went in, \(got) came out, \(returned) came back, the hook got \(hook.elements)")
            // One sender's elements in one lane do not pass each other; here: on their way to one receiver.
            if !conflates {
                for sender in handedIn { expectOrder(of: sender) }
            }
            let state = door.core.locked { state in
                (heap: state.deadlines.isEmpty, plain: state.isPlain || state.closure != .open || state.delays != nil)
            }
            ModelRuntime.expect(state.heap && state.plain, "something was left behind: \(state)")
        }

        private func expectOrder(of sender: [Int]) {
            guard door.core.order == .arrival else { return }
            for receiver in received {
                let mine = receiver.filter { sender.contains($0) }
                ModelRuntime.expect(
                    mine == sender.filter { mine.contains($0) }, "\(mine) of \(sender) in another order")
            }
        }

        func count(_ reason: Rejection) -> Int { hook.reasons.count { $0 == reason } }
    }
#endif
