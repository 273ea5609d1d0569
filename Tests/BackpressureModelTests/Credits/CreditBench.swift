// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A credit window under the model checker: the shipped code, with a thread's sleep in place of the `await`.
//
// The core verifies C1 (out <= ceiling) and C3 (the books balance) at every unlock, which are all the steps at which
// anything changes. Each thread keeps what it was granted; the check adds up.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    /// One operation of a thread.
    ///
    /// Names of leases are slots 0... of the bench, given by the program.
    enum CreditOp: Sendable {
        /// Takes this many credits if they are there, and leases them under this name.
        case take(Int, as: Int)
        /// Waits for this many credits, and leases them under this name.
        case wait(Int, as: Int)
        /// As `wait`, with a deadline.
        case waitUntil(Int64, Int, as: Int)
        case settle(Int)
        case extend(Int, by: Int64)
        /// The owner goes away.
        case drop(Int)
        case settleThrough(Int)
        case cancel(Int)
        /// Waits until that thread waits.
        case await(Int)
        /// As `take`, and it is an error if it was refused.
        case mustTake(Int, as: Int)
        /// As `take`, and it is an error if it was granted.
        case mustRefuse(Int, as: Int)
        /// Spends more than it was granted, which is refused and counted.
        case overspend(Int)
        case clock(Int64)
        case timerRings
        case reclaimAll
        case drain
        case resume
        case close
        case resize(Int)
    }

    final class CreditModelBench: @unchecked Sendable {
        let window: CreditWindow
        private let clock = ModelClock()
        private let capacity: Int
        private var keys: [CreditKey]
        private var counts = Array(repeating: 0, count: 16)
        private let words = UnsafeMutableRawPointer.allocate(byteCount: 16 * 8, alignment: 8)
        private let places = WaitPlaces()
        /// Credits that returns were accepted for, by thread; credits of the reports, by thread.
        private(set) var returned = Array(repeating: 0, count: 8)
        private let reported: Reports
        /// A drain ended while a credit was out; a newcomer was served while somebody waited.
        private(set) var drainedEarly = false
        private(set) var passedWaiter = false
        private(set) var answers: [[String]] = Array(repeating: [], count: 8)

        final class Reports: @unchecked Sendable {
            var all: [ReclaimedCredits] = []
        }

        init(capacity: Int, leaseTime: Int64? = nil, leased: [Int] = []) {
            let reported = Reports()
            self.reported = reported
            self.capacity = capacity
            keys = Array(repeating: .none, count: 16)
            // Reports are noted at the end of a step, by one fibre at a time.
            window = CreditWindow(
                capacity: capacity, batch: 1, leaseTime: leaseTime.map { .nanoseconds($0) }, clock: clock,
                onReclaim: { reported.all.append($0) })
            window.core.state.withLock { $0.alarm = Alarm(armedFor: .min) }
            for index in 0..<16 { words.storeBytes(of: 0, toByteOffset: index * 8, as: UInt64.self) }
            for (name, count) in leased.enumerated() { take(count, as: name, by: 7) }
        }

        deinit { words.deallocate() }

        func run(_ operation: CreditOp, by me: Int) {
            let core = window.core
            switch operation {
            case .take(let count, let name): take(count, as: name, by: me)
            case .wait(let count, let name): wait(count, as: name, deadline: nil, by: me)
            case .waitUntil(let deadline, let count, let name): wait(count, as: name, deadline: deadline, by: me)
            case .settle(let name):
                guard let key = key(name) else { return }
                let isDone = core.settle(key, count: counts[name])
                if isDone { returned[me] += counts[name] }
                note("settle \(name) \(isDone)", me)
            case .extend(let name, let duration):
                guard let key = key(name) else { return }
                note("extend \(name) \(core.extend(key, for: .nanoseconds(duration)))", me)
            case .drop(let name):
                guard let key = key(name) else { return }
                core.holderGone(key)
            case .settleThrough(let name):
                guard let key = key(name) else { return }
                returned[me] += window.settle(through: CreditLease.ID(key: key))
            case .cancel(let other): places.cancel(other, in: core)
            case .await(let other): places.await(other)
            case .mustTake(let count, let name):
                take(count, as: name, by: me)
                ModelRuntime.expect(has("got \(name)"), "\(count) credits were there, and refused")
            case .mustRefuse(let count, let name):
                take(count, as: name, by: me)
                ModelRuntime.expect(!has("got \(name)"), "\(count) credits were not there, and granted")
            case .overspend(let count):
                guard var grant = window.grant(atLeast: count, atMost: count) else {
                    ModelRuntime.fail("\(count) credits were there, and refused")
                }
                ModelRuntime.expect(grant.spend(count + 1) == nil, "more was spent than was granted")
                ModelRuntime.expect(window.snapshot().overruns == UInt64(count + 1), "\(window.snapshot())")
            case .clock(let now): clock.set(now)
            case .timerRings: _ = core.timerRang(generation: .max)
            case .reclaimAll: window.reclaimAll()
            case .drain: drain(by: me)
            case .resume: window.resume()
            case .close: window.close()
            case .resize(let capacity): window.resize(to: capacity)
            }
        }

        // MARK: Names

        private func take(_ count: Int, as name: Int, by me: Int) {
            let isWaiting = window.snapshot().waiting > 0
            guard var grant = window.grant(atLeast: count, atMost: count) else { return note("take \(name) nil", me) }
            // With one wait in the program: it waited before and after, so it waited meanwhile.
            if isWaiting, window.snapshot().waiting > 0 { passedWaiter = true }
            lease(&grant, count, name, me)
        }

        private func lease(_ grant: inout CreditGrant, _ count: Int, _ name: Int, _ me: Int) {
            guard let lease = grant.spend(count) else { return note("spend \(name) nil", me) }
            keys[name] = lease.detach().key
            counts[name] = count
            // Key and count are published to other threads by the word.
            AtomicWord(at: words + name * 8).storeReleasing(1)
            note("got \(name)", me)
        }

        /// The key of a lease that was made, as far as this thread can know.
        private func key(_ name: Int) -> CreditKey? {
            AtomicWord(at: words + name * 8).loadAcquiring() == 1 ? keys[name] : nil
        }

        // MARK: Waits: the few lines of `nextGrant` and `drain` that suspend

        private func wait(_ count: Int, as name: Int, deadline: Int64?, by me: Int) {
            var outcome = window.core.grantOrWait(
                atLeast: count, atMost: count, lifetime: .max, timeout: deadline.map { .nanoseconds($0) })
            if case .registered(let waiter) = outcome {
                places.sleep(waiter, by: me)
                outcome = window.core.outcome(of: waiter)
            }
            switch outcome {
            case .granted(let key, let count):
                var grant = CreditGrant(core: window.core, key: key, count: count)
                lease(&grant, count, name, me)
            case .rejected(let reason): note("\(reason)", me)
            case .registered: ModelRuntime.fail("woke without a verdict")
            }
        }

        private func drain(by me: Int) {
            var outcome = window.core.drainOrWait(timeout: nil)
            if case .registered(let waiter) = outcome {
                places.sleep(waiter, by: me)
                outcome = window.core.outcome(of: waiter)
            }
            if case .rejected(let reason) = outcome { return note("\(reason)", me) }
            // No grant is made after the drain began, so what is back stays back.
            if window.snapshot().out > 0 { drainedEarly = true }
            note("drained", me)
        }

        private func note(_ text: String, _ me: Int) { answers[me].append(text) }

        func has(_ text: String) -> Bool { answers.joined().contains(text) }

        // MARK: The contract

        func check() {
            let snapshot = window.snapshot()
            ModelRuntime.expect(snapshot.waiting == 0, "somebody still waits: \(snapshot)")
            ModelRuntime.expect(
                snapshot.granted == snapshot.settled + snapshot.givenBack + snapshot.reclaimed + UInt64(snapshot.out),
                "the books do not balance: \(snapshot)")
            ModelRuntime.expect(
                returned.reduce(0, +) == Int(snapshot.settled), "\(returned) returns accepted, \(snapshot)")
            let reports = reported.all
            ModelRuntime.expect(
                reports.reduce(0) { $0 + $1.count } == Int(snapshot.reclaimed), "reports \(reports) of \(snapshot)")
            ModelRuntime.expect(Set(reports.map(\.id)).count == reports.count, "a lease was reported twice: \(reports)")
            ModelRuntime.expect(snapshot.peak <= max(capacity, snapshot.capacity), "the peak is \(snapshot.peak)")
            if !snapshot.isStopped {
                ModelRuntime.expect(
                    snapshot.available == max(0, snapshot.capacity - snapshot.out), "credits were lost: \(snapshot)")
            }
        }
    }
#endif
