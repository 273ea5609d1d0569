// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The adaptive limiter, its tasks run step by step and its clock standing still.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

/// A call that was started, held until it is told to end.
final class CallTicket: Sendable {
    private struct Slot: ~Copyable, Sendable {
        var permit: ConcurrencyLimiter.Permit?
        var answer: Rejection?
        var isAdmitted = false
    }

    private let slot = LockedState(Slot())
    private let task = Shared<Task<Void, Never>?>(nil)

    var isAdmitted: Bool { slot.withLock { $0.isAdmitted } }
    var rejection: Rejection? { slot.withLock { $0.answer } }
    var waits: Bool { slot.withLock { !$0.isAdmitted && $0.answer == nil } }

    func cancel() { task.value?.cancel() }

    func start(_ executor: StepExecutor, _ limiter: ConcurrencyLimiter, _ name: String?, timeout: Duration?) {
        let partition = name.flatMap { limiter.partition($0) } ?? .common
        let started = Task(executorPreference: executor) {
            do throws(AcquireError) {
                self.put(try await limiter.acquire(in: partition, timeout: timeout))
            } catch {
                self.slot.withLock { $0.answer = error.reason }
            }
        }
        task.update { $0 = started }
    }

    func put(_ permit: consuming ConcurrencyLimiter.Permit) {
        var arriving: ConcurrencyLimiter.Permit? = consume permit
        slot.withLock { slot in
            slot.permit = arriving.take()
            slot.isAdmitted = true
        }
    }

    func settle(_ outcome: CallOutcome = .success) {
        var leaving: ConcurrencyLimiter.Permit?
        slot.withLock { leaving = $0.permit.take() }
        leaving.take()?.settle(outcome)
    }
}

final class ConcurrencyLimiterBench: Sendable {
    let clock = ManualClock()
    let executor = StepExecutor()
    let limiter: ConcurrencyLimiter

    init(
        _ limit: some ConcurrencyLimit, classes: [ConcurrencyLimiter.Class] = [], order: WaiterOrder = .fifo,
        waiterLimit: Int = 100, maximumWait: Duration? = nil, shedding: CoDel? = nil
    ) {
        limiter = ConcurrencyLimiter(
            limit, name: "calls", classes: classes, order: order, waiterLimit: waiterLimit, maximumWait: maximumWait,
            shedding: shedding, clock: clock)
    }

    deinit {
        limiter.close()
        executor.run()
    }

    func call(_ name: String? = nil, timeout: Duration? = nil) -> CallTicket {
        let ticket = CallTicket()
        ticket.start(executor, limiter, name, timeout: timeout)
        executor.run()
        return ticket
    }

    func settle(_ ticket: CallTicket, _ outcome: CallOutcome = .success) {
        ticket.settle(outcome)
        executor.run()
    }

    var snapshot: ConcurrencyLimiterSnapshot { limiter.snapshot() }
}

extension ConcurrencyLimiter {
    /// Whether a call is admitted now; it ends at once, unsettled.
    var isFree: Bool { tryAcquire() != nil }
}

@Suite struct ConcurrencyLimiterTests {
    @Test func admitsUpToTheLimitAndThenLetsWait() {
        let bench = ConcurrencyLimiterBench(FixedLimit(2), waiterLimit: 1)
        let calls = (0..<4).map { _ in bench.call() }
        #expect(calls.map(\.isAdmitted) == [true, true, false, false])
        #expect(calls[2].waits)
        #expect(calls[3].rejection == .overLimit)
        #expect(!bench.limiter.isFree)
        bench.settle(calls[0])
        #expect(calls[2].isAdmitted)
        #expect(bench.snapshot.inFlight == 2 && bench.snapshot.waiting == 0)
        bench.settle(calls[1])
        bench.settle(calls[2], .dropped)
        let snapshot = bench.snapshot
        #expect(snapshot.inFlight == 0 && snapshot.succeeded == 2 && snapshot.dropped == 1 && snapshot.overLimit == 2)
    }

    /// Settled exactly once, and ignored when by nothing else.
    @Test func aPermitThatIsForgottenCountsAsIgnored() throws {
        let bench = ConcurrencyLimiterBench(FixedLimit(1))
        func forget() {
            #expect(bench.limiter.isFree)
        }
        forget()
        #expect(bench.snapshot.ignored == 1 && bench.snapshot.inFlight == 0)
        if let permit = bench.limiter.tryAcquire() { permit.succeed() }
        if let permit = bench.limiter.tryAcquire() { permit.drop() }
        if let permit = bench.limiter.tryAcquire() { permit.ignore() }
        let snapshot = bench.snapshot
        #expect(snapshot.succeeded == 1 && snapshot.dropped == 1 && snapshot.ignored == 2 && snapshot.inFlight == 0)
        #expect(snapshot.admitted == 4)
    }

    @Test func ordersOfWaiting() {
        for (order, expected) in [
            (WaiterOrder.fifo, 0), (.lifo, 2), (.adaptiveLIFO(above: 2), 2), (.adaptiveLIFO(above: 3), 0),
        ] {
            let bench = ConcurrencyLimiterBench(FixedLimit(1), order: order)
            let holder = bench.call()
            let waiting = (0..<3).map { _ in bench.call() }
            bench.settle(holder)
            #expect(waiting.firstIndex(where: \.isAdmitted) == expected, "\(order)")
            for ticket in waiting { bench.settle(ticket) }
            for ticket in waiting { bench.settle(ticket) }
        }
    }

    /// Pitfall: critical traffic starved by bulk.
    ///
    /// Below its share a class is next, whoever waits longer.
    @Test func aClassBelowItsShareIsServedFirst() {
        let bench = ConcurrencyLimiterBench(FixedLimit(4), classes: [.init("critical", share: 0.5)])
        let bulk = (0..<8).map { _ in bench.call() }
        let critical = bench.call("critical")
        #expect(critical.waits)
        bench.settle(bulk[0])
        #expect(critical.isAdmitted && bulk[4].waits)
        #expect(bench.snapshot.classes["critical"] == .init(share: 2, reserved: 0, inFlight: 1, waiting: 0))
        bench.settle(bulk[1])
        #expect(bulk[4].isAdmitted)
    }

    /// What is reserved is never used by others, and the total never exceeds the limit.
    @Test func reservedPlacesStayFree() {
        let bench = ConcurrencyLimiterBench(
            FixedLimit(4), classes: [.init("critical", share: 0.5, reserved: 0.25)], waiterLimit: 0)
        let bulk = (0..<4).map { _ in bench.call() }
        #expect(bulk.map(\.isAdmitted) == [true, true, true, false])
        let critical = (0..<2).map { _ in bench.call("critical") }
        #expect(critical.map(\.isAdmitted) == [true, false])
        #expect(bench.snapshot.inFlight == 4)
        // An optimizer lets go of what is used no more, and a ticket that goes gives its place back.
        withExtendedLifetime((bulk, critical)) {}
    }

    @Test func waitsEndByTimeCancellationAndClose() async throws {
        let bench = ConcurrencyLimiterBench(FixedLimit(1), maximumWait: .seconds(5))
        let holder = bench.call()
        let short = bench.call(timeout: .seconds(1))
        let long = bench.call(timeout: .seconds(60))
        let none = bench.call(timeout: .zero)
        let cancelled = bench.call()
        let closed = bench.call(timeout: .seconds(4))
        #expect(none.rejection == .timedOut)
        cancelled.cancel()
        bench.executor.run()
        #expect(cancelled.rejection == .cancelled)
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(1))
        #expect(await bench.executor.run { short.rejection != nil })
        #expect(short.rejection == .timedOut && long.waits)
        bench.limiter.close()
        bench.executor.run()
        #expect(closed.rejection == .closed && long.rejection == .closed)
        bench.settle(holder)
        let snapshot = bench.snapshot
        #expect(snapshot.inFlight == 0 && snapshot.waiting == 0 && snapshot.timedOut == 2 && snapshot.cancelled == 1)
        #expect(!bench.limiter.isFree)
    }

    /// Work whose caller is late is dropped before it starts, and does not wait beyond the deadline.
    @Test func theDeadlineOfTheCallIsObeyed() async throws {
        let clock = ManualClock()
        let limiter = ConcurrencyLimiter(FixedLimit(1), waiterLimit: 9, clock: clock)
        let holder = limiter.bypass()
        try await limiter.run {
            let task = Task {
                _ = await #expect(throws: AcquireError.self) {
                    try await CallDeadline.with(.seconds(1), clock: clock) { try await limiter.run {} }
                }
            }
            await clock.sleepers(atLeast: 1)
            clock.advance(by: .seconds(1))
            await task.value
        }
        #expect(limiter.snapshot().timedOut == 1)
        await CallDeadline.with(.seconds(1), clock: clock) {
            clock.advance(by: .seconds(1))
            let error = await #expect(throws: AcquireError.self) { try await limiter.run {} }
            #expect(error?.reason == .expired)
        }
        holder.ignore()
    }

    @Test func theAlgorithmIsSwappedLive() {
        let bench = ConcurrencyLimiterBench(FixedLimit(3))
        let calls = (0..<6).map { _ in bench.call() }
        bench.limiter.replaceLimit(FixedLimit(1))
        bench.settle(calls[0])
        bench.settle(calls[1])
        #expect(calls[3].waits, "a debt is paid before anybody enters")
        bench.settle(calls[2])
        #expect(calls[3].isAdmitted && calls[4].waits)
        bench.limiter.replaceLimit(FixedLimit(3))
        bench.executor.run()
        #expect(calls[4].isAdmitted && calls[5].isAdmitted)
        #expect(bench.snapshot.inFlight == 3 && bench.limiter.limit == 3)
        withExtendedLifetime(calls) {}
    }

    @Test func aBypassIsBesideTheLimit() {
        let bench = ConcurrencyLimiterBench(FixedLimit(1))
        let holder = bench.call()
        let check = bench.limiter.bypass()
        #expect(bench.snapshot.bypassing == 1 && bench.snapshot.inFlight == 1)
        check.drop()
        #expect(bench.snapshot.bypassing == 0 && bench.snapshot.dropped == 0)
        bench.settle(holder)
    }

    @Test func theLimitFollowsWhatCallsTake() async throws {
        let bench = ConcurrencyLimiterBench(AIMDLimit(initial: 4, timeout: .milliseconds(50)))
        for trip in [10, 100] {
            let before = bench.limiter.limit
            for _ in 0..<40 {
                var permits = (0..<bench.limiter.limit).map { _ in bench.call() }
                bench.clock.advance(by: .milliseconds(trip))
                while let ticket = permits.popLast() { bench.settle(ticket) }
            }
            #expect(trip == 10 ? bench.limiter.limit > before : bench.limiter.limit < before)
        }
        #expect(bench.snapshot.samples > 2)
    }

    @Test func aStandingQueueIsShed() async throws {
        let codel = CoDel(target: .milliseconds(5), interval: .milliseconds(100))
        let bench = ConcurrencyLimiterBench(FixedLimit(1), shedding: codel)
        var holder = bench.call()
        var waiting: [CallTicket] = []
        for _ in 0..<30 {
            for _ in 0..<3 { waiting.append(bench.call()) }
            bench.clock.advance(by: .milliseconds(20))
            bench.settle(holder)
            if let index = waiting.firstIndex(where: \.isAdmitted) { holder = waiting.remove(at: index) }
            waiting.removeAll { $0.rejection != nil }
        }
        #expect(bench.snapshot.shed > 20 && bench.snapshot.isShedding)
        #expect(bench.snapshot.waiting < 10)
    }

    @Test func runSettlesByWhatItsBodyThrows() async throws {
        let limiter = ConcurrencyLimiter(FixedLimit(1), clock: ManualClock())
        let value = try await limiter.run { 7 }
        #expect(value == 7)
        await #expect(throws: Rejection.self) { try await limiter.run { throw Rejection.timedOut } }
        await #expect(throws: CancellationError.self) { try await limiter.run { throw CancellationError() } }
        await #expect(throws: CancellationError.self) {
            try await limiter.run(outcome: { _ in .dropped }) { throw CancellationError() }
        }
        let snapshot = limiter.snapshot()
        #expect(snapshot.succeeded == 1 && snapshot.dropped == 2 && snapshot.ignored == 1 && snapshot.inFlight == 0)
    }

    /// Pitfall: a limit that is tested and taken in two steps is exceeded.
    @Test func neverMoreThanTheLimitUnderRealConcurrency() async {
        let limiter = ConcurrencyLimiter(FixedLimit(3), classes: [.init("critical", share: 0.3)], waiterLimit: 1_000)
        let running = Shared((now: 0, peak: 0))
        let calls = LaneSize("limiter.storm", plain: 400, sanitizer: 100, deep: 20_000).count
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    let partition = worker < 2 ? limiter.partition("critical") ?? .common : .common
                    for call in 0..<calls {
                        guard let permit = try? await limiter.acquire(in: partition) else { continue }
                        running.update { $0 = ($0.now + 1, max($0.peak, $0.now + 1)) }
                        if call % 3 == 0 { await Task.yield() }
                        running.update { $0.now -= 1 }
                        permit.succeed()
                    }
                }
            }
        }
        #expect(running.value.peak <= 3)
        #expect(limiter.snapshot().admitted == UInt64(8 * calls) && limiter.snapshot().inFlight == 0)
    }
}
