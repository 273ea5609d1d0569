// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bugs that other systems had, each with the test that shows ours has not.
//
// | row | bug | test |
// |---|---|---|
// | P1, P13 | cancel after hand-over counts a permit twice | P1_cancelAfterGrant... |
// | P2 | a tombstone for every cancel that comes late | P2_lateCancels... |
// | P7, golang/go#37852 | a cancelled head does not wake the next that fits | P7_cancelledHead... |
// | P8 | a timeout that races loses what was granted | P8_timeoutAfterGrant... |
// | P9 | an early cancel leaves a wrong count | P9_cancelBeforeStart... |
// | P10 | a permit leaks when its call is cancelled or throws | P10_everyExit... |
// | P11 | the cancel comes late, by way of a task | P11_cancel... |
// | P14 | the hook is not called, or called twice | P14_hook... |
// | tokio#1973 | acquiring n one by one deadlocks two callers | tokio1973_grantIsAtomic |
// | 3.5 circuit breakers | a result of an older generation mints a permit | staleReturn_mintsNothing |
// | 3.6 golang/go#23145 | an older reading of the clock rewinds | time_goingBack... |
// | 3.6 deadline overflow | now + for ever traps | CreditLeaseTests.ownLength, longTimeout |
// | 3.7 | memory follows the past | churn_reusesSlots |
// | 3.8 rabbit peer_down | credits lost with their peer | CreditLeaseTests.reclaimAll, .holderGone, .expiry |

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("credits: pitfalls", .timeLimit(.minutes(10)))
struct CreditPitfallTests {
    @Test("P1, P13: a cancel between grant and wake changes nothing")
    func P1_cancelAfterGrant_countsOnce() {
        let bench = CreditBench(capacity: 1)
        let lease = bench.spend(1)
        let tickets = [bench.nextGrant(), bench.nextGrant()]
        bench.window.settle(lease[0])
        tickets[0].cancel()
        tickets[0].cancel()
        bench.executor.run()
        #expect(tickets[0].answer == .granted(1) && tickets[1].answer == nil)
        tickets[1].cancel()
        bench.executor.run()
        #expect(tickets[1].answer == .rejected(.cancelled) && bench.window.snapshot().out == 1 && bench.isBalanced)
    }

    @Test("P2: cancels leave nothing behind, early or late")
    func P2_lateCancels_leaveNothing() {
        let bench = CreditBench(capacity: 1)
        for round in 0..<300 {
            let lease = bench.spend(1)
            let ticket = bench.nextGrant(run: round % 2 == 0)
            if round % 3 == 0 { bench.window.settle(lease[0]) }
            ticket.cancel()
            bench.executor.run()
            ticket.cancel()
            bench.window.reclaimAll()
            #expect(ticket.answer != nil && bench.window.snapshot().waiting == 0)
        }
        #expect(bench.window.core.state.withLock { $0.table.slots.count } <= 2)
    }

    @Test("P7, golang/go#37852: when the head leaves, the next that fits is served")
    func P7_cancelledHead_nextIsServed() async {
        let bench = CreditBench(capacity: 3)
        let leases = bench.spend(3)
        let heads = [bench.nextGrant(atLeast: 3), bench.nextGrant(atLeast: 3, timeout: .seconds(1))]
        let little = bench.nextGrant(atLeast: 1, atMost: 1)
        bench.window.settle(leases[0])
        heads[0].cancel()
        bench.executor.run()
        #expect(little.answer == nil)
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(1))
        #expect(await bench.executor.run { little.answer == .granted(1) })
        #expect(heads.map(\.answer) == [.rejected(.cancelled), .rejected(.timedOut)])
    }

    @Test("P8: a deadline that passes after the grant takes nothing back")
    func P8_timeoutAfterGrant_keepsGrant() async {
        let bench = CreditBench(capacity: 1)
        let lease = bench.spend(1)
        let ticket = bench.nextGrant(timeout: .seconds(1))
        await bench.clock.sleepers(atLeast: 1)
        bench.window.settle(lease[0])
        bench.clock.advance(by: .seconds(5))
        #expect(await bench.executor.run { ticket.answer != nil })
        #expect(ticket.answer == .granted(1))
    }

    @Test("P9: a task cancelled before it starts waits not at all, or succeeds if it need not wait")
    func P9_cancelBeforeStart_keepsCounts() {
        let bench = CreditBench(capacity: 1)
        let tickets = [bench.nextGrant(run: false), bench.nextGrant(run: false)]
        for ticket in tickets { ticket.cancel() }
        bench.executor.run()
        #expect(tickets.map(\.answer) == [.granted(1), .rejected(.cancelled)])
        #expect(bench.window.snapshot().out == 1 && bench.window.snapshot().waiting == 0 && bench.isBalanced)
    }

    @Test("P10: every way out of the work gives the credit back once")
    func P10_everyExit_returnsOnce() throws {
        struct Oops: Error {}
        let bench = CreditBench(capacity: 3, batch: 1)
        func work(_ fate: Int) throws {
            var grant = try take(bench.window.grant(atMost: 1))
            let lease = try take(grant.spend())
            if fate == 0 { throw Oops() }
            if fate == 1 { return }
            lease.settle()
        }
        for fate in 0..<3 { try? work(fate) }
        let snapshot = bench.window.snapshot()
        #expect(snapshot.out == 0 && snapshot.settled == 1 && snapshot.reclaimed == 2 && bench.isBalanced)
    }

    @Test("P11: a cancel takes effect before `cancel()` returns")
    func P11_cancel_isSynchronous() {
        let bench = CreditBench(capacity: 1)
        _ = bench.spend(1)
        let ticket = bench.nextGrant()
        ticket.cancel()
        #expect(bench.window.snapshot().waiting == 0)
        bench.executor.run()
        #expect(ticket.answer == .rejected(.cancelled))
    }

    @Test("P14: the hook is told of each reclaim once, whoever else tries to end the lease")
    func P14_hook_calledOnce() throws {
        let bench = CreditBench(capacity: 1, leaseTime: .seconds(1))
        for _ in 0..<20 {
            do {
                var grant = try take(bench.window.grant())
                let lease = try take(grant.spend())
                bench.clock.advance(by: .seconds(1))
                bench.window.reclaimAll()
                #expect(all(!lease.extend(for: .seconds(1))))
            }
            bench.window.reclaimAll()
        }
        #expect(bench.reports == Array(repeating: "1 expired", count: 20) && bench.isBalanced)
    }

    @Test("tokio#1973: a grant of n is one step; two callers cannot hold half each")
    func tokio1973_grantIsAtomic() {
        let bench = CreditBench(capacity: 4)
        let leases = bench.spend(4)
        let tickets = [bench.nextGrant(atLeast: 4), bench.nextGrant(atLeast: 4)]
        for lease in leases { bench.window.settle(lease) }
        bench.executor.run()
        #expect(tickets.map(\.answer) == [.granted(4), nil])
        bench.window.settle(through: bench.kept.value[0])
        bench.executor.run()
        #expect(tickets[1].answer == .granted(4))
    }

    @Test("a return of an older generation mints nothing, though its slot is in use again")
    func staleReturn_mintsNothing() {
        let bench = CreditBench(capacity: 2)
        let old = bench.spend(2)
        bench.window.reclaimAll()
        let new = bench.spend(2)
        for id in old { #expect(!bench.window.settle(id) && !bench.window.extend(id, for: .seconds(1))) }
        #expect(bench.window.snapshot().leased == 2 && bench.window.snapshot().lateReturns == 2)
        for id in new { #expect(bench.window.settle(id)) }
        #expect(bench.window.snapshot().available == 2 && bench.isBalanced)
    }

    @Test("3.6: a clock that goes back neither ends a lease early nor lengthens a hold below zero")
    func time_goingBack_isHarmless() throws {
        let bench = CreditBench(capacity: 2, leaseTime: .seconds(10))
        bench.clock.advance(by: .seconds(100))
        let first = bench.spend(1)
        bench.clock.set(to: ManualClock.Instant(offset: .seconds(5)))
        let second = bench.spend(1)
        _ = bench.window.snapshot()
        bench.clock.set(to: ManualClock.Instant(offset: .seconds(109)))
        #expect(bench.window.settle(first[0]))
        bench.clock.set(to: ManualClock.Instant(offset: .seconds(110)))
        #expect(!bench.window.settle(second[0]))
        #expect(bench.reclaimed.value.map(\.heldFor) == [.seconds(10)])
    }

    @Test("3.6: a timeout and a lease time of any length do not overflow")
    func longTimeout() {
        let bench = CreditBench(capacity: 1, leaseTime: .seconds(Int64.max))
        let lease = bench.spend(1)
        let ticket = bench.nextGrant(timeout: .seconds(Int64.max))
        bench.clock.set(to: ManualClock.Instant(offset: .seconds(Int64.max / 4)))
        bench.window.settle(lease[0])
        bench.executor.run()
        #expect(ticket.answer == .granted(1))
    }

    @Test("3.7: slots are used again, and deadlines leave nothing behind")
    func churn_reusesSlots() {
        let bench = CreditBench(capacity: 3, leaseTime: .seconds(1))
        for round in 0..<2_000 {
            let leases = bench.spend(3)
            #expect(leases.count == 3)
            for lease in leases { bench.window.extend(lease, for: .seconds(round % 7 + 1)) }
            for lease in leases.reversed() { #expect(bench.window.settle(lease)) }
        }
        let (slots, isEmpty) = bench.window.core.state.withLock { ($0.table.slots.count, $0.table.due.isEmpty) }
        #expect(slots <= 4 && isEmpty)
    }

    @Test("bad parameters end in a precondition", arguments: 0..<6)
    func badParameters(_ number: Int) async {
        switch number {
        case 0: await #expect(processExitsWith: .failure) { _ = CreditWindow(capacity: 0) }
        case 1: await #expect(processExitsWith: .failure) { _ = CreditWindow(capacity: 4, batch: 5) }
        case 2: await #expect(processExitsWith: .failure) { _ = CreditWindow(capacity: 4, leaseTime: .zero) }
        case 3: await #expect(processExitsWith: .failure) { _ = CreditWindow(capacity: Int.max) }
        case 4: await #expect(processExitsWith: .failure) { _ = CreditWindow(capacity: 4).grant(atLeast: 0) }
        default:
            await #expect(processExitsWith: .failure) { _ = CreditWindow(capacity: 4).grant(atLeast: 3, atMost: 2) }
        }
    }
}
