// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The contract of the credit window: grant, spend, settle, top-up, drain, close, resize.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("credit window", .timeLimit(.minutes(10)))
struct CreditWindowTests {
    @Test("credits go round, and each is in one place")
    func roundTrip() throws {
        let bench = CreditBench(capacity: 4)
        var grant = try take(bench.window.grant())
        #expect(all(grant.count == 4, bench.window.snapshot().unspent == 4, isNil(bench.window.grant())))
        let first = try take(grant.spend())
        let second = try take(grant.spend(2))
        #expect(first.count == 1 && second.count == 2 && grant.count == 1)
        #expect(bench.window.snapshot().leased == 3 && bench.window.snapshot().unspent == 1)
        #expect(all(first.settle(), second.settle(), grant.giveBack()))
        let snapshot = bench.window.snapshot()
        #expect(snapshot.out == 0 && snapshot.available == 4 && snapshot.settled == 3 && snapshot.givenBack == 1)
        #expect(snapshot.granted == 4 && snapshot.spent == 3 && snapshot.peak == 4 && bench.isBalanced)
        #expect(bench.reports.isEmpty)
    }

    @Test("a grant waits for its batch, half of the window by default")
    func batch() throws {
        let bench = CreditBench(capacity: 5)
        let leases = bench.spend(5)
        for lease in leases.prefix(2) {
            bench.window.settle(lease)
            #expect(all(isNil(bench.window.grant())))
        }
        bench.window.settle(leases[2])
        let grant = try take(bench.window.grant())
        #expect(grant.count == 3)
        grant.giveBack()
        #expect(all(count(bench.window.grant(atLeast: 1, atMost: 2)) == 2), "the caller may say otherwise")
        #expect(all(count(bench.window.grant(atMost: 1)) == 1), "a batch is no more than is wanted")
    }

    @Test("a peer that sends more than it may is refused, and counted")
    func overrun() throws {
        let bench = CreditBench(capacity: 2)
        var grant = try take(bench.window.grant())
        let lease = try take(grant.spend(2))
        #expect(all(isNil(grant.spend()), grant.count == 0))
        #expect(bench.window.snapshot().overruns == 1 && bench.window.snapshot().out == 2)
        lease.settle()
        #expect(all(isNil(grant.spend())), "settled credits belong to the window, not to the old grant")
        #expect(bench.isBalanced)
    }

    @Test("grants of a long-lived peer merge")
    func absorb() throws {
        let bench = CreditBench(capacity: 4)
        var grant = try take(bench.window.grant(atLeast: 1, atMost: 1))
        #expect(all(grant.absorb(try take(bench.window.grant(atLeast: 1, atMost: 2))), grant.count == 3))
        let lease = try take(grant.spend(3))
        #expect(grant.count == 0)
        #expect(all(grant.absorb(try take(bench.window.grant(atLeast: 1))), grant.count == 1))
        #expect(all(grant.giveBack(1), !grant.giveBack(1), lease.settle()))
        #expect(bench.window.snapshot().out == 0 && bench.window.snapshot().lateReturns == 1 && bench.isBalanced)
    }

    @Test("absorbing what was reclaimed brings nothing back, on either side")
    func absorbReclaimed() throws {
        let bench = CreditBench(capacity: 4)
        var grant = try take(bench.window.grant(atLeast: 1, atMost: 1))
        let other = try take(bench.window.grant(atLeast: 1, atMost: 1))
        bench.window.reclaimAll()
        #expect(all(!grant.absorb(other)))
        var fresh = try take(bench.window.grant(atLeast: 1, atMost: 2))
        #expect(all(!fresh.absorb(grant), fresh.count == 2))
        var stale = try take(bench.window.grant(atLeast: 2, atMost: 2))
        _ = stale.spend()
        bench.window.reclaimAll()
        #expect(all(!stale.absorb(try take(bench.window.grant(atLeast: 3, atMost: 3))), stale.count == 3))
        let lease = stale.spend(3)
        #expect(lease?.settle() == true && bench.isBalanced)
        fresh.giveBack()
        #expect(bench.window.snapshot().out == 0)
    }

    @Test("everything up to a lease is settled at once, in the order of spending")
    func settleThrough() {
        let bench = CreditBench(capacity: 6)
        let leases = bench.spend(6)
        #expect(leases == leases.sorted())
        bench.window.settle(leases[1])
        #expect(bench.window.settle(through: leases[3]) == 3)
        #expect(bench.window.settle(through: leases[3]) == 0)
        #expect(!bench.window.settle(leases[0]) && bench.window.settle(leases[4]))
        #expect(bench.window.snapshot().leased == 1 && bench.window.snapshot().settled == 5 && bench.isBalanced)
    }

    // MARK: Waiting

    @Test("waiters are served in order; one that wants much is not passed")
    func waitersInOrder() {
        let bench = CreditBench(capacity: 4)
        let leases = bench.spend(4)
        let much = bench.nextGrant(atLeast: 3, atMost: 3)
        let little = bench.nextGrant(atLeast: 1, atMost: 1)
        #expect(bench.window.snapshot().waiting == 2)
        for lease in leases.prefix(2) { bench.window.settle(lease) }
        #expect(all(isNil(bench.window.grant(atLeast: 1))), "a newcomer does not pass those who wait")
        bench.executor.run()
        #expect(much.answer == nil && little.answer == nil)
        bench.window.settle(leases[2])
        bench.executor.run()
        #expect(much.answer == .granted(3) && little.answer == nil)
        bench.window.settle(leases[3])
        bench.executor.run()
        #expect(little.answer == .granted(1) && bench.isBalanced)
    }

    @Test("a wait ends by its timeout, at its instant")
    func timeout() async {
        let bench = CreditBench(capacity: 2)
        _ = bench.spend(2)
        let ticket = bench.nextGrant(timeout: .seconds(3))
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(3) - .nanoseconds(1))
        _ = bench.window.snapshot()
        #expect(ticket.answer == nil)
        bench.clock.advance(by: .nanoseconds(1))
        #expect(await bench.executor.run { ticket.answer == .rejected(.timedOut) })
        #expect(bench.nextGrant(timeout: .zero).answer == .rejected(.timedOut))
        #expect(bench.window.snapshot().waiting == 0)
    }

    @Test("bad bounds: at least more than there is fails at once, also after a shrink")
    func moreThanTheWindow() {
        let bench = CreditBench(capacity: 4)
        #expect(bench.nextGrant(atLeast: 5).answer == .rejected(.full))
        let leases = bench.spend(4)
        let (big, small) = (bench.nextGrant(atLeast: 3), bench.nextGrant(atLeast: 1))
        bench.window.resize(to: 2)
        bench.executor.run()
        #expect(big.answer == .rejected(.full) && small.answer == nil)
        for lease in leases.prefix(2) { bench.window.settle(lease) }
        bench.executor.run()
        #expect(small.answer == nil && bench.window.snapshot().available == 0, "2 are still out of 2")
        bench.window.settle(leases[2])
        bench.executor.run()
        #expect(small.answer == .granted(1))
        bench.window.resize(to: 8)
        #expect(bench.window.snapshot().available == 6 && bench.isBalanced)
    }

    @Test("close ends waits and grants, not what is out")
    func close() throws {
        let bench = CreditBench(capacity: 2)
        var grant = try take(bench.window.grant())
        let waiting = bench.nextGrant()
        bench.window.close()
        bench.window.close()
        bench.executor.run()
        #expect(waiting.answer == .rejected(.finished) && bench.nextGrant().answer == .rejected(.finished))
        bench.window.resume()
        #expect(all(isNil(bench.window.grant(atLeast: 1)), bench.window.snapshot().isStopped))
        let lease = try take(grant.spend())
        #expect(all(lease.settle(), grant.giveBack(), bench.window.snapshot().out == 0, bench.isBalanced))
    }

    // MARK: Drain

    @Test("a drain waits for the last credit, and stops grants until resume")
    func drain() {
        let bench = CreditBench(capacity: 3)
        let leases = bench.spend(2)
        let waiting = bench.nextGrant(atLeast: 2)
        let drained = bench.drain()
        #expect(all(drained.answer == nil, isNil(bench.window.grant(atLeast: 1))))
        for lease in leases { bench.window.settle(lease) }
        bench.executor.run()
        #expect(drained.answer == .granted(0) && waiting.answer == nil && bench.window.snapshot().available == 0)
        bench.window.resume()
        bench.executor.run()
        #expect(waiting.answer == .granted(3))
        #expect(bench.drain(timeout: .zero).answer == .rejected(.timedOut))
        bench.window.reclaimAll()
        #expect(bench.drain().answer == .granted(0), "nothing is out: nothing to wait for")
    }

    @Test("a drain ends by its timeout, by cancel, by resume")
    func drainEnds() async {
        let bench = CreditBench(capacity: 1)
        _ = bench.spend(1)
        let timed = bench.drain(timeout: .seconds(1))
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(1))
        #expect(await bench.executor.run { timed.answer == .rejected(.timedOut) })
        let cancelled = bench.drain()
        cancelled.cancel()
        bench.executor.run()
        #expect(cancelled.answer == .rejected(.cancelled) && bench.window.snapshot().isStopped)
        let calledOff = bench.drain()
        bench.window.resume()
        bench.executor.run()
        #expect(calledOff.answer == .rejected(.abandoned) && !bench.window.snapshot().isStopped)
    }
}
