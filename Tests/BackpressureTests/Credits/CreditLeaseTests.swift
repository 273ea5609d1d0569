// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Leases: a credit that was lost comes back, once, and its late return is refused.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("credit leases", .timeLimit(.minutes(10)))
struct CreditLeaseTests {
    @Test("a lease ends at its deadline, is reported once, and its late return is refused")
    func expiry() async throws {
        let bench = CreditBench(capacity: 2, leaseTime: .seconds(30))
        var grant = try take(bench.window.grant())
        let lease = try take(grant.spend())
        let id = lease.id
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(30) - .nanoseconds(1))
        #expect(bench.window.snapshot().leased == 1)
        bench.clock.advance(by: .nanoseconds(1))
        #expect(await bench.executor.run { !bench.reclaimed.value.isEmpty })
        let report = try #require(bench.reclaimed.value.first)
        #expect(
            report.id == id && report.count == 1 && report.wasSpent && report.reason == .expired
                && report.heldFor == .seconds(30))
        #expect(all(!lease.extend(for: .seconds(1))))
        #expect(all(!lease.settle()), "a late return is refused")
        #expect(bench.window.snapshot().lateReturns == 1 && bench.window.snapshot().available == 1)
        #expect(bench.reports == ["1 expired"] && bench.isBalanced)
        grant.giveBack()
    }

    @Test("a return after the deadline is late, even before the timer has rung")
    func lateBeforeTimer() throws {
        let bench = CreditBench(capacity: 1, leaseTime: .seconds(1))
        var grant = try take(bench.window.grant())
        let lease = try take(grant.spend())
        bench.clock.set(to: ManualClock.Instant(offset: .seconds(1)))
        #expect(all(!lease.settle(), bench.reports == ["1 expired"], bench.isBalanced))
    }

    @Test("an extension moves the deadline, sooner or later")
    func extend() throws {
        let bench = CreditBench(capacity: 2, leaseTime: .seconds(10))
        let leases = bench.spend(2)
        let (first, second) = (leases[0], leases[1])
        bench.clock.advance(by: .seconds(9))
        #expect(bench.window.extend(first, for: .seconds(10)) && bench.window.extend(second, for: .seconds(2)))
        bench.clock.advance(by: .seconds(2))
        #expect(!bench.window.settle(second) && bench.window.settle(first))
        #expect(!bench.window.extend(first, for: .seconds(1)))
        #expect(bench.reports == ["1 expired"] && bench.isBalanced)
    }

    @Test("a lease of its own length; for ever is for ever")
    func ownLength() throws {
        let bench = CreditBench(capacity: 2, leaseTime: .seconds(10))
        var grant = try take(bench.window.grant())
        let short = try take(grant.spend(leaseTime: .milliseconds(1))).detach()
        let long = try take(grant.spend(leaseTime: .seconds(Int64.max))).detach()
        bench.clock.advance(by: .seconds(1_000_000_000))
        #expect(!bench.window.settle(short) && bench.window.settle(long))
    }

    @Test("a holder that goes away loses its credits at once")
    func holderGone() throws {
        let bench = CreditBench(capacity: 3, leaseTime: .seconds(10))
        do {
            var grant = try take(bench.window.grant())
            let lease = try take(grant.spend())
            _ = lease.count
        }
        #expect(bench.window.snapshot().available == 3)
        #expect(bench.reclaimed.value.map(\.reason) == [.holderGone, .holderGone])
        #expect(bench.reclaimed.value.reduce(0) { $0 + $1.count } == 3 && bench.isBalanced)
    }

    @Test("a lost peer: all that is out comes back, and whatever it still says is refused")
    func reclaimAll() throws {
        let bench = CreditBench(capacity: 4)
        var grant = try take(bench.window.grant())
        let lease = try take(grant.spend())
        let id = try take(grant.spend()).detach()
        #expect(bench.window.reclaimAll() == 4 && bench.window.reclaimAll() == 0)
        #expect(bench.reports.sorted() == ["1 revoked", "1 revoked", "2 revoked"])
        var next = try take(bench.window.grant())
        #expect(next.count == 4)
        #expect(all(isNil(grant.spend()), !grant.giveBack(1), !lease.settle(), !bench.window.settle(id)))
        #expect(all(!grant.giveBack(), next.count == 4, bench.window.snapshot().unspent == 4))
        #expect(all(next.giveBack(4), bench.isBalanced))
    }

    @Test("a grant that is not spent in time comes back; what was spent of it stays out")
    func grantTime() throws {
        let bench = CreditBench(capacity: 3, grantTime: .seconds(5))
        var grant = try take(bench.window.grant())
        let lease = try take(grant.spend())
        bench.clock.advance(by: .seconds(5))
        #expect(all(isNil(grant.spend()), bench.window.snapshot().leased == 1, bench.reports == ["2 expired"]))
        #expect(all(!grant.giveBack(), lease.settle(), bench.reports == ["2 expired"], bench.isBalanced))
    }

    @Test("what is reclaimed serves who waits")
    func reclaimServes() async {
        let bench = CreditBench(capacity: 2, leaseTime: .seconds(1))
        _ = bench.spend(2)
        let waiting = bench.nextGrant()
        await bench.clock.sleepers(atLeast: 1)
        bench.clock.advance(by: .seconds(1))
        #expect(await bench.executor.run { waiting.answer == .granted(2) })
        #expect(bench.reports == ["1 expired", "1 expired"] && bench.isBalanced)
    }

    @Test("the hook may use the window, and is called outside locks")
    func hookUsesWindow() throws {
        let log = Shared<[Int]>([])
        let box = Shared<CreditWindow?>(nil)
        let window = CreditWindow(capacity: 2) { _ in
            guard let window = box.value else { return }
            log.update { $0.append(window.snapshot().available) }
            if let grant = window.grant(atLeast: 1) { grant.giveBack() }
        }
        box.update { $0 = window }
        do { _ = try take(window.grant()).count }
        #expect(log.value == [2])
        box.update { $0 = nil }
    }

    @Test("random operations against a plain model: the sum is the window at every step")
    func randomAgainstModel() {
        let size = LaneSize("credits.random", plain: 20_000, sanitizer: 4_000, deep: 2_000_000)
        var random = SplitMix64(seed: 0xC4ED17)
        let bench = CreditBench(capacity: 7, leaseTime: .seconds(10))
        // Leases by name, with their deadlines.
        var model: [(id: CreditLease.ID, deadline: Duration)] = []
        var ended: [CreditLease.ID] = []
        var expired = 0
        for _ in 0..<size.count {
            let now = bench.clock.now.offset
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                let free = 7 - model.count
                guard let id = bench.spend(1).first else {
                    #expect(free == 0)
                    continue
                }
                #expect(free > 0)
                model.append((id, now + .seconds(10)))
            case 2 where !model.isEmpty:
                let index = Int.random(in: 0..<model.count, using: &random)
                let id = model.remove(at: index).id
                #expect(bench.window.settle(id))
                ended.append(id)
            case 3 where !model.isEmpty:
                let index = Int.random(in: 0..<model.count, using: &random)
                #expect(bench.window.extend(model[index].id, for: .seconds(4)))
                model[index].deadline = now + .seconds(4)
            case 4:
                bench.clock.advance(by: .seconds(Int.random(in: 0...5, using: &random)))
                let late = model.filter { $0.deadline <= bench.clock.now.offset }
                expired += late.count
                ended += late.map(\.id)
                model.removeAll { $0.deadline <= bench.clock.now.offset }
            default:
                if let id = ended.randomElement(using: &random) { #expect(!bench.window.settle(id)) }
                ended.removeFirst(max(0, ended.count - 20))
            }
            let snapshot = bench.window.snapshot()
            guard snapshot.leased == model.count, snapshot.available == 7 - model.count,
                snapshot.reclaimed == UInt64(expired)
            else {
                Issue.record("\(snapshot) against \(model.count) leases, \(expired) expired")
                return
            }
        }
        #expect(bench.isBalanced && expired > 0)
    }
}
