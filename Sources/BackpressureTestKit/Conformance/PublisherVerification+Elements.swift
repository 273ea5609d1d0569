// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The checks of a publisher that are about elements and their end: rules 1.1 to 1.7, 2.12, 3.2 to 3.4, 3.8, 3.17.

import Backpressure

extension PublisherVerification {
    typealias Probe = TestSubscriber<Output>

    /// A probe that is subscribed to a publisher of `count` elements.
    func subscribed(_ count: Int, _ probe: Probe = Probe()) async -> Probe {
        make(Int64(count)).subscribe(probe)
        _ = await environment.settle { probe.subscription != nil }
        return probe
    }

    /// Requests, and waits for what must come of it.
    func take(_ count: Int, _ probe: Probe) async {
        let wanted = probe.elementCount + count
        probe.request(Demand(count))
        _ = await environment.settle { probe.elementCount >= wanted || probe.isTerminated }
    }

    /// The signals that came since there were `count`, in words; waits for those that may come.
    func news(_ probe: Probe, since count: Int) async -> String {
        await environment.settle()
        return probe.signals.dropFirst(count).map(\.name).joined(separator: ", ")
    }

    func demandIsNeverExceeded(_ log: CheckLog) async {
        let probe = await subscribed(5)
        await environment.settle()
        log.expect(probe.elementCount == 0, "\(probe.elementCount) elements came before any was requested")
        var total = 0
        for demand in [1, 1, 2] {
            total += demand
            await take(demand, probe)
            await environment.settle()
            log.expect(
                probe.elementCount <= total, "\(probe.elementCount) elements came for a demand of \(total) in all")
        }
        probe.cancel()
    }

    func requestsAddUp(_ log: CheckLog) async {
        let probe = Probe(onSubscribe: { probe in
            probe.request(1)
            probe.request(2)
            probe.request(1)
        })
        _ = await subscribed(5, probe)
        _ = await environment.settle { probe.elementCount >= 4 }
        log.expect(probe.elementCount >= 4, "requests of 1, 2 and 1 brought \(probe.elementCount) elements, not 4")
        probe.cancel()
    }

    func mayEndBeforeDemandIsMet(_ log: CheckLog) async {
        let probe = await subscribed(3)
        probe.request(10)
        _ = await environment.settle { probe.isTerminated }
        log.expect(
            probe.elementCount == 3, "\(probe.elementCount) elements came of a stream of 3, for a demand of 10")
    }

    func signalsAreSerial(_ log: CheckLog) async {
        for run in 0..<(environment.isDeterministic ? 10 : 100) where log.outcome.violations.isEmpty {
            let probe = Probe(
                initialDemand: run % 2 == 0 ? 1 : nil, onNext: { probe, _ in probe.request(Demand(1 + run % 3)) })
            _ = await subscribed(10, probe)
            probe.request(1)
            _ = await environment.settle { probe.isTerminated }
            await environment.settle(briefly: run)
            for overlap in probe.overlaps.prefix(3) { log.fail("signals overlap: \(overlap)") }
        }
    }

    func endIsSignalled(_ log: CheckLog) async {
        for count in [1, 3] {
            let probe = await subscribed(count)
            await take(count, probe)
            await environment.settle()
            // The end needs no demand, and may all the same be noticed only with the next request.
            if !probe.isTerminated { probe.request(1) }
            _ = await environment.settle { probe.isTerminated }
            log.expect(probe.isCompleted, "no onComplete came after all \(count) elements")
            log.expect(probe.failure == nil, "a stream of \(count) elements ended with an error: \(probe.failureText)")
            log.expect(probe.elementCount == count, "\(probe.elementCount) elements came of a stream of \(count)")
        }
    }

    func emptyStreamCompletes(_ log: CheckLog) async {
        let probe = await subscribed(0)
        probe.request(1)
        _ = await environment.settle { probe.isTerminated }
        let names = probe.signals.map(\.name)
        log.expect(
            names == ["onSubscribe", "onComplete"],
            "an empty stream should signal onSubscribe and onComplete, not \(names.joined(separator: ", "))")
    }

    func subscriptionEndsWithStream(_ log: CheckLog) async {
        let probe = await ended()
        let count = probe.count
        probe.request(0)
        probe.request(5)
        probe.request(-1)
        probe.cancel()
        probe.request(1)
        let news = await news(probe, since: count)
        log.expect(news.isEmpty, "calls after the end were answered: \(news)")
    }

    func nothingFollowsComplete(_ log: CheckLog) async {
        let probe = await ended(demand: 10)
        let names = await news(probe, since: 0).split(separator: ", ")
        let after = names.drop { $0 != "onComplete" && $0 != "onError" }.dropFirst()
        log.expect(after.isEmpty, "signals followed the end: \(after.joined(separator: ", "))")
    }

    /// A probe whose stream of 3 elements has come to its end.
    private func ended(demand: Int = 4) async -> Probe {
        let probe = await subscribed(3)
        probe.request(Demand(demand))
        _ = await environment.settle { probe.isTerminated }
        await environment.settle()
        return probe
    }

    func subscribesOnce(_ log: CheckLog) async {
        let probe = await subscribed(1)
        probe.request(1)
        await environment.settle()
        let times = probe.signals.count { $0.name == "onSubscribe" }
        log.expect(times <= 1, "onSubscribe was called \(times) times on one subscriber")
    }

    func nestedRequestsCount(_ log: CheckLog) async {
        let probe = Probe(initialDemand: 1, onNext: { probe, _ in probe.request(1) })
        _ = await subscribed(6, probe)
        _ = await environment.settle { probe.elementCount >= 6 }
        log.expect(
            probe.elementCount == 6,
            "requests of 1 from inside onSubscribe and each onNext brought \(probe.elementCount) elements, not 6")
        probe.cancel()
    }

    func recursionIsBounded(_ log: CheckLog) async {
        let probe = Probe(onNext: { probe, _ in probe.request(1) })
        _ = await subscribed(64, probe)
        probe.request(1)
        _ = await environment.settle { probe.elementCount >= 64 }
        let depth = probe.greatestDepth
        log.expect(
            depth <= recursionDepth, "onNext ran \(depth) deep inside itself, where \(recursionDepth) is allowed")
        probe.cancel()
    }

    // MARK: Demand

    /// Requests all of `demands`, and expects all of a stream of 3.
    func demandIsServed(_ log: CheckLog, _ demands: [Demand]) async {
        if maximumElements == .max { return log.skip("an endless stream cannot be asked for everything") }
        // All at once: what is requested inside `onSubscribe` adds up before the first element.
        let probe = Probe(onSubscribe: { probe in for demand in demands { probe.request(demand) } })
        _ = await subscribed(3, probe)
        _ = await environment.settle { probe.isTerminated }
        let text = demands.map(\.description).joined(separator: " + ")
        log.expect(probe.elementCount == 3, "a demand of \(text) brought \(probe.elementCount) elements of 3")
        log.expect(probe.failure == nil, "a demand of \(text) ended with \(probe.failureText)")
    }

    func greaterSumIsNoError(_ log: CheckLog) async {
        let calls = LockedState(0)
        let probe = Probe(onNext: { probe, _ in
            let number = calls.withLock { number in
                number += 1
                return number
            }
            if number <= 10 { probe.request(Demand(Int64.max - 1)) } else { probe.cancel() }
        })
        _ = await subscribed(24, probe)
        probe.request(1)
        _ = await environment.settle { probe.elementCount >= 11 || probe.isTerminated }
        await environment.settle()
        log.expect(
            probe.failure == nil, "demand above 2^63 - 1 ended with an error: \(probe.failureText)")
    }
}

extension TestSubscriber {
    var failureText: String { failure.map { "\($0)" } ?? "no error" }
}

extension VerificationEnvironment {
    /// In real time not every one of many runs waits for silence.
    func settle(briefly run: Int) async {
        if isDeterministic || run == 0 { await settle() }
    }
}
