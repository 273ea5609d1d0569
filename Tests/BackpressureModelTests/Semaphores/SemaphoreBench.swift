// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A semaphore under the model checker: the shipped code, with a thread's sleep in place of the `await`.
//
// `acquire` below repeats the few lines of `SemaphoreCore.acquireSlow` and `wait` that suspend, without the bounded look,
// which only delays; all else is the shipped code.
//
// ## What is checked at every step
// `held` goes up after an acquisition has returned and down before a release begins, so it never exceeds what is in use:
// it must never exceed the limit. While and after the limit shrinks it is checked for acquisitions that began after the
// shrink: those must find room under the new limit. With one permit a plain cell, written by holders only, shows any
// missing order between one holder and the next as a data race. And `verify` checks the invariants at every unlock.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    final class SemaphoreBench: @unchecked Sendable {
        enum Note: Equatable {
            case acquired(Int)
            case refused
            case rejected(Rejection)
        }

        private(set) var semaphore: AsyncSemaphore?
        private weak var watched: SemaphoreCore?
        let core: Unmanaged<SemaphoreCore>
        let word: PermitWord
        /// How often a task that found permits was asked to let others run first.
        private(set) var yields = 0
        private(set) var notes: [[Note]] = Array(repeating: [], count: 8)
        /// What each thread holds, one entry an acquisition.
        private var hands: [[Int]] = Array(repeating: [], count: 8)
        private let memory = UnsafeMutableRawPointer.allocate(byteCount: 192, alignment: 64)
        private let deadline: Int64
        private let waiterLimit: Int

        // Bookkeeping of the model, not of the semaphore: the threads are fibres of one OS thread, so no step is between.
        private var held = 0
        private var limit: Int
        private var largestLimit: Int
        private var isResizing = false
        private var resizes = 0
        private var passes = 0

        private var waiterWords: UnsafeMutableRawPointer { memory }
        private var ledger: UnsafeMutableRawPointer { memory + 64 }
        private var cancelFlags: UnsafeMutableRawPointer { memory + 128 }

        init(
            limit: Int, fairness: Fairness, order: WaiterOrder = .fifo, waiterLimit: Int = .max, deadline: Int64 = .max,
            held: [Int: [Int]] = [:], turns: UInt64? = nil, guesses: Bool = false
        ) {
            self.deadline = deadline
            self.limit = limit
            self.waiterLimit = waiterLimit
            largestLimit = limit
            let semaphore = AsyncSemaphore(permits: limit, fairness: fairness, order: order, waiterLimit: waiterLimit)
            self.semaphore = semaphore
            watched = semaphore.core
            core = .passUnretained(semaphore.core)
            word = semaphore.word
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: 192)
            // The timer of a model is a thread of the model, not a task.
            semaphore.core.state.withLock { $0.deadlines = Deadlines(armedFor: .min) }
            for (thread, counts) in held {
                for count in counts {
                    precondition(word.take(count))
                    hands[thread].append(count)
                    self.held += count
                }
            }
            if guesses { word.guess.begin(word.word.loadRelaxed()) }
            // Near the end of the cooperative budget.
            if let turns {
                semaphore.core.state.withLock { state in
                    let taken = word.word.loadRelaxed() & PermitLayout.turns
                    state.issued -= taken - turns
                    state.yieldAt = state.issued
                    _ = word.word.fetchAddAcquiringAndReleasing(turns &- taken)
                }
            }
        }

        deinit { memory.deallocate() }

        // MARK: Operations of thread `me`

        @discardableResult
        func acquire(_ count: Int, by me: Int) -> Bool {
            let age = isResizing ? -1 : resizes
            var rejection: Rejection?
            if !word.take(count) { rejection = acquireSlow(count, me) }
            if let rejection {
                notes[me].append(.rejected(rejection))
                return false
            }
            took(count, age, me)
            return true
        }

        private func acquireSlow(_ count: Int, _ me: Int) -> Rejection? {
            let core = core.takeUnretainedValue()
            while true {
                let (outcome, waiter) = core.acquire(count, times: WaitTimes(now: 0, deadline: deadline))
                if let waiter {
                    sleep(waiter, me)
                    if waiter.isSteward, core.answerCall(waiter, now: 0) { sleep(waiter, me) }
                    ModelRuntime.expect(waiter.verdict != .none, "a task woke without a verdict")
                    return core.conclude(waiter)
                }
                switch outcome {
                case .done: return nil
                case .yieldDue:
                    yields += 1
                    continue
                case .timedOut: return .timedOut
                case .closed: return .closed
                case .exceedsLimit: return .exceedsLimit
                case .full: return .full
                case .wouldWait, .registered: ModelRuntime.fail("an acquisition neither ended nor waits")
                }
            }
        }

        @discardableResult
        func tryAcquire(_ count: Int, by me: Int) -> Bool {
            let age = isResizing ? -1 : resizes
            guard word.take(count) || core.takeUnretainedValue().tryAcquireSlow(count) else {
                notes[me].append(.refused)
                return false
            }
            took(count, age, me)
            return true
        }

        /// As `tryAcquire` and `release`, and counts the acquisition if somebody waited before and after it.
        func tryPass(by me: Int) {
            let core = core.takeUnretainedValue()
            let before = core.waiting > 0
            guard tryAcquire(1, by: me) else { return }
            if before, core.waiting > 0 { passes += 1 }
            release(by: me)
        }

        private func took(_ count: Int, _ age: Int, _ me: Int) {
            held += count
            hands[me].append(count)
            notes[me].append(.acquired(count))
            ModelRuntime.expect(
                held <= largestLimit, "\(held) permits in use, there were never more than \(largestLimit)")
            if age == resizes, !isResizing {
                ModelRuntime.expect(
                    held <= limit, "\(held) permits in use after an acquisition under a limit of \(limit)")
            }
            if largestLimit == 1 { PlainAccess.write(ledger) }
        }

        func release(by me: Int) {
            guard let count = hands[me].popLast() else { return }
            if largestLimit == 1 { PlainAccess.write(ledger) }
            held -= count
            word.give(count)
        }

        func forget(by me: Int) {
            guard let count = hands[me].popLast() else { return }
            held -= count
            word.forget(count)
        }

        func resize(to limit: Int) {
            isResizing = true
            largestLimit = max(largestLimit, limit)
            semaphore?.resize(to: limit)
            self.limit = limit
            isResizing = false
            resizes += 1
        }

        func close() { semaphore?.close() }

        /// The last reference goes.
        func drop() { semaphore = nil }

        /// As `AsyncSemaphore.untilDrained`; after it all permits are back.
        func untilDrained(by me: Int) {
            let core = core.takeUnretainedValue()
            if let waiter = core.watchDrain() {
                sleep(waiter, me)
                if let rejection = core.conclude(waiter) {
                    notes[me].append(.rejected(rejection))
                    return
                }
            }
            ModelRuntime.expect(
                held == 0 && core.isClosed && core.snapshot().inUse == 0, "drained, but \(core.snapshot())")
        }

        func restore(_ count: Int) { semaphore?.release(count) }

        func timerRings() { _ = core.takeUnretainedValue().timerRang(generation: .max) }

        /// Cancels the task of thread `other`, wherever it is.
        func cancelTask(of other: Int) {
            // The runtime's own lock: a handler that runs keeps `withTaskCancellationHandler` from returning.
            ModelRuntime.lock(waiterWords + other * 8)
            ModelRuntime.atomicStore(cancelFlags + other * 8, 1, .releasing)
            cancelWaiter(of: other)
            ModelRuntime.unlock(waiterWords + other * 8)
        }

        private func cancelWaiter(of thread: Int) {
            let word = ModelRuntime.atomicLoad(waiterWords + thread * 8, .acquiring)
            if let pointer = UnsafeMutablePointer<Waiter>(bitPattern: UInt(word)) {
                core.takeUnretainedValue().cancel(WaiterRef(pointer))
            }
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

        // MARK: - The contract

        /// How acquisitions ended that were not granted.
        var rejections: [Rejection] {
            notes.joined().compactMap { if case .rejected(let reason) = $0 { reason } else { nil } }
        }

        func check(bypass: Int) {
            ModelRuntime.expect(
                passes <= bypass, "\(passes) newcomers passed somebody who waited, of at most \(bypass)")
            if semaphore == nil { return checkGone() }
            let core = core.takeUnretainedValue()
            for me in hands.indices { while !hands[me].isEmpty { release(by: me) } }
            let snapshot = core.snapshot()
            let acquired = notes.joined().count { if case .acquired = $0 { true } else { false } }
            ModelRuntime.expect(
                snapshot.available == snapshot.limit - snapshot.forgotten && snapshot.limit == limit,
                "permits were lost or made: \(snapshot)")
            ModelRuntime.expect(snapshot.waiting == 0, "somebody still waits: \(snapshot)")
            let refused = notes.joined().count { $0 == .refused }
            ModelRuntime.expect(snapshot.refused == UInt64(refused), "\(refused) refused, counted: \(snapshot.refused)")
            ModelRuntime.expect(snapshot.peakWaiting <= waiterLimit, "\(snapshot.peakWaiting) waited")
            ModelRuntime.expect(
                snapshot.acquisitions >= UInt64(acquired), "\(acquired) acquisitions, counted: \(snapshot.acquisitions)"
            )
            let rest = core.state.withLock { state in
                (gated: state.isGated, heap: state.deadlines.isEmpty, onTheWay: state.isCounting ? 0 : state.onTheWay)
            }
            ModelRuntime.expect(rest.gated == snapshot.isClosed, "the gate is closed at rest for no reason")
            let isLooking = word.word.loadRelaxed() & PermitLayout.queued != 0
            ModelRuntime.expect(!isLooking, "releases look for somebody, and nobody waits")
            ModelRuntime.expect(rest.heap && rest.onTheWay == 0, "something was left behind: \(rest)")
        }

        /// The memory went with the last permit, and not before.
        private func checkGone() {
            let isHeld = hands.contains { !$0.isEmpty }
            ModelRuntime.expect((watched != nil) == isHeld, "the core is \(watched == nil ? "gone" : "there")")
            for me in hands.indices { while !hands[me].isEmpty { release(by: me) } }
            ModelRuntime.expect(watched == nil, "the core outlives its permits")
        }

        func has(_ note: Note) -> Bool { notes.joined().contains(note) }
    }
#endif
