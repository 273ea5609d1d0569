// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The checks of a publisher that are about failures, subscribers and cancels: rules 1.4, 1.7 to 1.11, 3.4 to 3.7, 3.9 and
// 3.12 to 3.16.

import Backpressure

extension PublisherVerification {
    private func failed() async -> Probe {
        let probe = Probe(initialDemand: 1)
        makeFailed?().subscribe(probe)
        _ = await environment.settle { probe.isTerminated }
        await environment.settle()
        return probe
    }

    func failureIsSignalled(_ log: CheckLog) async {
        let probe = await failed()
        log.expect(probe.failure != nil, "a failed publisher did not call onError")
        log.expect(!probe.isCompleted, "a failed publisher completed")
    }

    func nothingFollowsError(_ log: CheckLog) async {
        let probe = await failed()
        probe.request(5)
        await environment.settle()
        let names = probe.signals.map(\.name)
        let after = names.drop { $0 != "onError" }.dropFirst()
        log.expect(after.isEmpty, "signals followed onError: \(after.joined(separator: ", "))")
    }

    func refusalComesAfterSubscribe(_ log: CheckLog) async {
        let probe = await failed()
        log.expect(
            probe.signals.first?.name == "onSubscribe",
            "a refused subscriber first got \(probe.signals.first?.name ?? "nothing"), not onSubscribe")
    }

    func subscribeComesFirst(_ log: CheckLog) async {
        let probe = await subscribed(1)
        probe.request(1)
        await environment.settle()
        let first = probe.signals.first?.name ?? "nothing"
        log.expect(first == "onSubscribe", "the first signal was \(first), not onSubscribe")
    }

    // MARK: Several subscribers

    /// What is wrong with the answer to a new subscriber; nil when it is served, or refused in order.
    private func fault(in probe: Probe) async -> String? {
        _ = await environment.settle { probe.subscription != nil }
        guard probe.signals.first?.name == "onSubscribe" else {
            return "got \(probe.signals.first?.name ?? "no signal") instead of onSubscribe"
        }
        probe.request(1)
        _ = await environment.settle { probe.elementCount > 0 || probe.isTerminated }
        if probe.elementCount > 0 || probe.isTerminated { return nil }
        return "got neither an element nor a refusal"
    }

    func otherSubscribersAreAnswered(_ log: CheckLog) async {
        let publisher = make(1)
        for number in 1...2 {
            let probe = Probe()
            publisher.subscribe(probe)
            if let fault = await fault(in: probe) { log.fail("subscriber \(number) \(fault)") }
        }
    }

    func manySubscribersAreServed(_ log: CheckLog) async {
        let publisher = make(1)
        let probes = [Probe(), Probe()]
        for probe in probes { publisher.subscribe(probe) }
        _ = await environment.settle { probes.allSatisfy { $0.subscription != nil } }
        for probe in probes { probe.request(1) }
        _ = await environment.settle { probes.allSatisfy { $0.elementCount > 0 || $0.isTerminated } }
        for (number, probe) in probes.enumerated() {
            log.expect(
                probe.elementCount > 0 || probe.isTerminated,
                "subscriber \(number + 1) of 2 got neither an element nor the end")
        }
        for probe in probes { probe.cancel() }
    }

    func sameElements(_ log: CheckLog, stepwise: Bool, toTheEnd: Bool) async {
        let count = toTheEnd ? 3 : 5
        let publisher = make(Int64(count))
        let probes = [Probe(), Probe(), Probe()]
        for probe in probes { publisher.subscribe(probe) }
        _ = await environment.settle { probes.allSatisfy { $0.subscription != nil } }
        for _ in 0..<(stepwise ? count : 1) {
            for probe in probes { probe.request(Demand(stepwise ? 1 : toTheEnd ? count + 1 : count)) }
            await environment.settle(briefly: 1)
        }
        _ = await environment.settle {
            probes.allSatisfy { $0.elementCount == count && (!toTheEnd || $0.isTerminated) }
        }
        let texts = probes.map { $0.elements.map { "\($0)" } }
        for (number, text) in texts.enumerated() {
            log.expect(text == texts[0], "subscriber \(number + 1) got \(text), subscriber 1 got \(texts[0])")
            log.expect(text.count == count, "subscriber \(number + 1) got \(text.count) elements of \(count)")
            if toTheEnd { log.expect(probes[number].isCompleted, "subscriber \(number + 1) did not get the end") }
        }
        for probe in probes { probe.cancel() }
    }

    func lastCancelIsOrderly(_ log: CheckLog) async {
        let publisher = make(3)
        let first = Probe()
        publisher.subscribe(first)
        _ = await environment.settle { first.subscription != nil }
        await take(1, first)
        first.cancel()
        await environment.settle()
        let second = Probe()
        publisher.subscribe(second)
        if let fault = await fault(in: second) { log.fail("after the last cancel a new subscriber \(fault)") }
        second.cancel()
    }

    // MARK: Quick calls

    func requestIsQuick(_ log: CheckLog) async {
        let probe = await subscribed(1_000)
        await environment.settle()
        let before = work?() ?? 0
        log.expect(!environment.isSlow { probe.request(1) }, "request(1) took its time")
        await environment.settle()
        let done = (work?() ?? before) - before
        log.expect(
            done <= 1 + prefetch, "request(1) took \(done) elements from the source, \(1 + prefetch) are allowed")
        probe.cancel()
    }

    func cancelIsQuick(_ log: CheckLog) async {
        let probe = await subscribed(1_000)
        await take(1, probe)
        await environment.settle()
        let before = work?() ?? 0
        log.expect(!environment.isSlow { probe.cancel() }, "cancel took its time")
        await environment.settle()
        let done = (work?() ?? before) - before
        log.expect(done == 0, "cancel took \(done) elements from the source")
    }

    // MARK: After cancel

    /// A probe that has got one element of six and cancelled.
    private func cancelled() async -> (probe: Probe, count: Int) {
        let probe = await subscribed(6)
        await take(1, probe)
        probe.cancel()
        await environment.settle()
        return (probe, probe.count)
    }

    func requestAfterCancelIsNop(_ log: CheckLog) async {
        let (probe, count) = await cancelled()
        for _ in 0..<3 { probe.request(1) }
        let news = await news(probe, since: count)
        log.expect(news.isEmpty, "requests after cancel were answered: \(news)")
    }

    func cancelAfterCancelIsNop(_ log: CheckLog) async {
        let (probe, count) = await cancelled()
        for _ in 0..<3 { probe.cancel() }
        let news = await news(probe, since: count)
        log.expect(news.isEmpty, "further cancels were answered: \(news)")
    }

    func anyRequestAfterCancelIsSilent(_ log: CheckLog) async {
        let (probe, count) = await cancelled()
        for demand in [Demand(0), Demand(-1), Demand(Int64.min)] { probe.request(demand) }
        let news = await news(probe, since: count)
        log.expect(news.isEmpty, "invalid requests after cancel were answered: \(news)")
    }

    func earlyCancelIsSilent(_ log: CheckLog) async {
        for isInside in [true, false] {
            let probe = Probe(onSubscribe: { if isInside { $0.cancel() } })
            _ = await subscribed(6, probe)
            if !isInside { probe.cancel() }
            let news = await news(probe, since: 1)
            log.expect(news.isEmpty, "a cancel before any request was answered: \(news)")
        }
    }

    func cancelledSubscriberHearsNoEnd(_ log: CheckLog) async {
        for isInside in [true, false] {
            let probe = Probe(onNext: { probe, _ in if isInside { probe.cancel() } })
            _ = await subscribed(isInside ? 1 : 6, probe)
            await take(1, probe)
            if !isInside { probe.cancel() }
            await environment.settle()
            // A publisher may be about to end when the cancel comes from inside its last element, if it need not stop at
            // once.
            guard !isInside || stopsAtOnce else { continue }
            log.expect(!probe.isTerminated, "a cancelled subscriber got \(probe.signals.last?.name ?? "nothing")")
        }
    }

    func cancelStopsElements(_ log: CheckLog) async {
        let stopsAtOnce = stopsAtOnce
        let atCancel = LockedState<Int?>(nil)
        let probe = Probe(onNext: { probe, _ in
            let isFirst = atCancel.withLock { count in
                if count != nil { return false }
                count = probe.elementCount
                return true
            }
            if isFirst { probe.cancel() }
        })
        _ = await subscribed(20, probe)
        probe.request(10)
        probe.request(5)
        _ = await environment.settle { probe.elementCount > 0 }
        await environment.settle()
        let allowed = stopsAtOnce ? atCancel.withLock { $0 ?? 0 } : 15
        log.expect(
            probe.elementCount <= allowed,
            "\(probe.elementCount - (atCancel.withLock { $0 ?? 0 })) elements came after cancel was called")
        let count = probe.count
        let news = await news(probe, since: count)
        log.expect(news.isEmpty, "signals still come after cancel: \(news)")
    }

    func cancelDropsSubscriber(_ log: CheckLog) async {
        let publisher = make(3)
        weak var released: Probe?
        // The subscription outlives the probe: it must not hold it either.
        var subscription: (any Flow.Subscription)?
        do {
            let probe = Probe()
            released = probe
            publisher.subscribe(probe)
            _ = await environment.settle { probe.subscription != nil }
            await take(1, probe)
            subscription = probe.subscription
            probe.cancel()
            probe.dropSubscription()
        }
        _ = await environment.settle { released == nil }
        log.expect(released == nil, "the subscriber is still held after its cancel")
        withExtendedLifetime((publisher, subscription)) {}
    }

    // MARK: Invalid demand

    func invalidDemandFails(_ log: CheckLog, _ demand: Demand) async {
        let probe = await subscribed(6)
        probe.request(demand)
        _ = await environment.settle { probe.isTerminated }
        log.expect(probe.failure != nil, "request(\(demand)) was not answered by onError")
    }

    func invalidDemandIsNamed(_ log: CheckLog) async {
        for demand in [Demand(0), Demand(-7)] {
            let probe = await subscribed(6)
            probe.request(demand)
            _ = await environment.settle { probe.isTerminated }
            guard let failure = probe.failure else { continue }
            log.expect(
                failure as? Flow.InvalidDemand == Flow.InvalidDemand(demand),
                "request(\(demand)) ended with \(failure), not with InvalidDemand(\(demand))")
        }
    }
}
