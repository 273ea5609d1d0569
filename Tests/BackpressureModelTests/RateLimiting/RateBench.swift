// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A token bucket under the model checker: the shipped code, a clock that is a word of the model, and a thread's sleep in
// place of the `await`.
//
// A token lasts 10 ns. What each operation came to is noted, and `check` holds the notes against the contract.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    /// A clock whose reading is an atomic word, so that moving it is a step like any other.
    struct WordClock: Clock {
        struct Instant: InstantProtocol {
            var nanoseconds: Int64

            func advanced(by duration: Duration) -> Instant {
                Instant(nanoseconds: nanoseconds + duration.saturatingNanoseconds)
            }
            func duration(to other: Instant) -> Duration { .nanoseconds(other.nanoseconds - nanoseconds) }
            static func < (lhs: Instant, rhs: Instant) -> Bool { lhs.nanoseconds < rhs.nanoseconds }
        }

        nonisolated(unsafe) let word: UnsafeMutableRawPointer

        var now: Instant { Instant(nanoseconds: Int64(ModelRuntime.atomicLoad(word, .acquiring))) }
        var minimumResolution: Duration { .nanoseconds(1) }

        func sleep(until deadline: Instant, tolerance: Duration?) async throws {}
    }

    /// One operation of a thread.
    enum RateOp: Sendable {
        case tryAcquire(Int, debt: Int = 0)
        case acquire(Int, debt: Int = 0, timeout: Int64 = .max)
        case reserve(Int)
        case cancelReservation
        /// Cancels the wait of that thread, if it waits by now.
        case cancel(Int)
        case refund(Int)
        case penalize(Int)
        case setBurst(Int)
        /// One token in so many nanoseconds.
        case setRate(Int)
        /// As `tryAcquire`, and it is an error if there were too few.
        case mustTake(Int)
        /// As `tryAcquire`, and it is an error if there were enough.
        case mustDeny(Int)
        /// Moves the clock on by so many nanoseconds.
        case tick(UInt64)
        /// Waits until that thread waits or is done.
        case await(Int)
        /// Moves the clock on and rings the timer, once for each that may wait.
        case timerRings
    }

    final class RateBench: @unchecked Sendable {
        let bucket: TokenBucket
        let memory: UnsafeMutableRawPointer
        private(set) var allowed = 0
        private(set) var denied = 0
        private(set) var granted: [Int] = []
        private(set) var ended: [Verdict] = []
        private(set) var overtakings = 0
        private(set) var refunded = 0
        private(set) var penalized = 0
        private(set) var reservation: (mark: RateReservation, count: Int)?
        private(set) var booked = 0
        private let start: UInt64

        private var core: BucketCore { bucket.core }

        init(burst: Int, tokens: Int? = nil, rate: Rate = .every(.nanoseconds(10)), start: UInt64 = 0) {
            // The clock, and for each thread the waiter it sleeps on.
            memory = .allocate(byteCount: 80, alignment: 16)
            memory.initializeMemory(as: UInt8.self, repeating: 0, count: 80)
            self.start = start
            bucket = TokenBucket(rate: rate, burst: burst, initialTokens: tokens, clock: WordClock(word: memory))
            memory.storeBytes(of: start, as: UInt64.self)
            // Far from the origin one token is taken at once, so that TAT is near the clock.
            if start > 0 { _ = bucket.tryAcquire() }
            // The timer of a model is a thread of the model, not a task.
            core.state.withLock { $0.armedFor = .min }
        }

        deinit { memory.deallocate() }

        // MARK: Operations of thread `me`

        func run(_ op: RateOp, by me: Int) {
            switch op {
            case .tryAcquire(let count, let debt):
                if bucket.tryAcquire(count, allowingDebt: debt).isAllowed { allowed += count } else { denied += count }
            case .acquire(let count, let debt, let timeout): acquire(count, debt, timeout, me)
            case .reserve(let count):
                guard let made = try? bucket.reserve(count) else { return }
                booked += count
                reservation = (made, count)
            case .cancelReservation:
                guard let reservation else { return }
                booked -= reservation.mark.cancel()
            case .cancel(let other): cancelWait(of: other)
            case .refund(let count):
                bucket.refund(count)
                refunded += count
            case .penalize(let count):
                bucket.penalize(count)
                penalized += count
            case .mustTake(let count):
                let isAllowed = bucket.tryAcquire(count).isAllowed
                ModelRuntime.expect(isAllowed, "\(count) tokens were there, and denied")
                if isAllowed { allowed += count }
            case .mustDeny(let count):
                ModelRuntime.expect(!bucket.tryAcquire(count).isAllowed, "\(count) tokens were not there, and given")
            case .setRate(let nanoseconds): bucket.setRate(.every(.nanoseconds(nanoseconds)), burst: bucket.burst)
            case .setBurst(let burst): bucket.setRate(bucket.rate, burst: burst)
            case .tick(let nanoseconds): _ = ModelRuntime.atomicFetchAdd(memory, nanoseconds, .acquiringAndReleasing)
            case .await(let other): ModelRuntime.park(on: memory + 16 + other * 8, while: { $0 == 0 })
            case .timerRings:
                for _ in 0..<2 {
                    _ = ModelRuntime.atomicFetchAdd(memory, 1_000, .acquiringAndReleasing)
                    _ = core.timerRang(generation: .max)
                }
            }
        }

        /// What `LimiterCore.acquire` does, with a thread that sleeps on the cell.
        private func acquire(_ count: Int, _ debt: Int, _ timeout: Int64, _ me: Int) {
            // From here on the place says that this thread is done.
            defer { ModelRuntime.atomicStore(memory + 16 + me * 8, 1, .releasing) }
            if core.takeFast(count, debt: debt) { return grant(me, count) }
            let now = core.timeSource.now()
            let waitingBefore = core.state.withLock { $0.waiterCount }
            switch core.enter(count, debt: debt, now: now, deadline: timeout == .max ? .max : now + timeout) {
            case .taken:
                // Those who waited before may have been served in the same step, but not passed.
                if waitingBefore > 0, core.state.withLock({ $0.waiterCount }) > 0 { overtakings += 1 }
                grant(me, count)
            case .failed: ended.append(.timedOut)
            case .registered(let waiter):
                let place = memory + 16 + me * 8
                ModelRuntime.atomicStore(place, UInt64(UInt(bitPattern: waiter.pointer)), .releasing)
                if waiter.park(SleepingTask(bits: 1000 + UInt64(me))) {
                    ModelRuntime.park(on: waiter.cellAddress, while: { $0 != WaiterRef.resumed })
                }
                _ = waiter.isResumed
                ModelRuntime.lock(place)
                ModelRuntime.atomicStore(place, 0, .releasing)
                ModelRuntime.unlock(place)
                let verdict = core.leave(waiter)
                if verdict == .granted { grant(me, count) } else { ended.append(verdict) }
            }
        }

        private func grant(_ me: Int, _ count: Int) {
            granted.append(me)
            allowed += count
        }

        private func cancelWait(of other: Int) {
            let place = memory + 16 + other * 8
            // The runtime's own lock: a handler that runs keeps `withTaskCancellationHandler` from returning.
            ModelRuntime.lock(place)
            let word = ModelRuntime.atomicLoad(place, .acquiring)
            if word > 1, let pointer = UnsafeMutablePointer<Waiter>(bitPattern: UInt(word)) {
                core.cancel(WaiterRef(pointer))
            }
            ModelRuntime.unlock(place)
        }

        // MARK: The contract

        /// Tokens are neither lost nor made, while the clock stood still.
        func checkBalance(_ tokens: Int) {
            let left = bucket.snapshot().available
            ModelRuntime.expect(
                left == tokens - allowed - booked - penalized + refunded,
                "\(left) tokens left of \(tokens): \(allowed) taken, \(booked) booked, \(refunded) refunded")
        }

        /// No more than the burst and what came in since the start.
        func checkBound(burst: Int) {
            let elapsed = memory.load(as: UInt64.self) - start
            ModelRuntime.expect(
                allowed <= burst + Int(elapsed / 10), "\(allowed) admitted in \(elapsed) ns with a burst of \(burst)")
        }

        /// Nobody waits, and the gate is open.
        func checkRest() {
            let snapshot = bucket.snapshot()
            ModelRuntime.expect(snapshot.waiting == 0, "somebody still waits: \(snapshot)")
            core.state.withLock { state in
                ModelRuntime.expect(state.queued == 0, "\(state.queued) tokens are wanted by nobody")
                ModelRuntime.expect(state.deadlines.isEmpty, "a deadline was left behind")
            }
            let high = AtomicWord(at: core.gateWord).loadRelaxed()
            ModelRuntime.expect(high & BucketCore.gate == 0, "the gate is closed at rest")
        }
    }
#endif
