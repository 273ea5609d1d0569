// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The checks of a subscriber.

import Backpressure

extension SubscriberVerification {
    func orderlyStream(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        var sent = 0
        while sent < 3, await stage.send(sent + 1) { sent += 1 }
        stage.end(failing: false)
        await environmentSettle(stage)
        let reports = stage.probe?.texts ?? []
        let wanted = ["onSubscribe"] + (0..<sent).map { "onNext(\(stage.makeElement($0 + 1)))" } + ["onComplete"]
        log.expect(sent > 0, "the subscriber asked for nothing")
        log.expect(reports == wanted, "processed \(reports), was sent \(wanted)")
    }

    private func environmentSettle(_ stage: Stage<Input>) async { await stage.environment.settle() }

    func demandIsRequested(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        log.expect(await stage.demand(1), "the subscriber did not request anything")
    }

    func signalsReturnSoon(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        guard await stage.demand(1) else { return }
        let element = stage.makeElement(1)
        log.expect(!stage.environment.isSlow { stage.target.onNext(element) }, "onNext took its time")
    }

    func methodsReturn(_ stage: Stage<Input>, _ log: CheckLog) async {
        log.expect(
            !stage.environment.isSlow { stage.target.onSubscribe(stage.subscription) }, "onSubscribe took its time")
        await environmentSettle(stage)
        log.expect(!stage.environment.isSlow { stage.end(failing: true) }, "onError took its time")
        log.skip("that no method throws is said by the types; here is checked that each returns soon")
    }

    // MARK: The end

    func terminalCallsNothing(_ stage: Stage<Input>, _ log: CheckLog, failing: Bool) async {
        await stage.subscribe()
        _ = await stage.demand(1)
        stage.subscription.duringTerminal { stage.end(failing: failing) }
        let calls = stage.subscription.callsInTerminal
        log.expect(calls.isEmpty, "\(failing ? "onError" : "onComplete") called \(calls.joined(separator: ", "))")
    }

    func nothingAfterTerminal(_ stage: Stage<Input>, _ log: CheckLog, failing: Bool) async {
        await stage.subscribe()
        _ = await stage.demand(1)
        stage.end(failing: failing)
        await environmentSettle(stage)
        let before = stage.subscription.calls
        stage.subject.triggerRequest?(1)
        stage.subject.triggerCancel?()
        await environmentSettle(stage)
        let calls = stage.subscription.calls - before
        log.expect(calls == 0, "\(calls) calls on the subscription after \(failing ? "onError" : "onComplete")")
    }

    func terminal(_ stage: Stage<Input>, _ log: CheckLog, requesting: Bool, failing: Bool) async {
        await stage.subscribe()
        if requesting { _ = await stage.demand(1) }
        stage.end(failing: failing)
        await environmentSettle(stage)
        let name = failing ? "onError" : "onComplete"
        // What a black box does with it nobody sees; that it does not trap is what can be checked.
        guard let probe = stage.probe else { return }
        let times = probe.texts.count { $0 == name }
        let when = requesting ? "after" : "without"
        log.expect(times == 1, "\(name) \(when) a request was processed \(times) times, not once")
    }

    // MARK: Subscriptions

    func secondSubscription(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        let second = WatchedSubscription()
        stage.target.onSubscribe(second)
        _ = await stage.environment.settle { second.cancels > 0 }
        log.expect(second.cancels > 0, "a second subscription was not cancelled")
        log.expect(stage.subscription.cancels == 0, "the first subscription was cancelled for a second one")
    }

    func onlyOwnSubscription(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        let second = WatchedSubscription()
        stage.target.onSubscribe(second)
        await environmentSettle(stage)
        stage.subject.triggerRequest?(1)
        await environmentSettle(stage)
        log.expect(second.demands.isEmpty, "a second subscription was asked for elements: \(second.demands)")
    }

    func unneeded(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        stage.subject.triggerCancel?()
        _ = await stage.environment.settle { stage.subscription.cancels > 0 }
        log.expect(stage.subscription.cancels > 0, "the subscription was not cancelled")
    }

    func lateElement(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        _ = await stage.demand(1)
        stage.subject.triggerCancel?()
        guard await stage.environment.settle(until: { stage.subscription.cancels > 0 }) else { return }
        let before = stage.subscription.demands.count
        stage.target.onNext(stage.makeElement(1))
        await environmentSettle(stage)
        let requests = stage.subscription.demands.count - before
        log.expect(requests == 0, "an element after cancel made the subscriber request \(requests) times")
    }

    // MARK: Demand

    func demandIsValid(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        var sent = 0
        while sent < 3, await stage.send(sent + 1) { sent += 1 }
        let invalid = stage.subscription.demands.filter { !$0.isValid }
        log.expect(invalid.isEmpty, "the subscriber requested \(invalid.map(\.description).joined(separator: ", "))")
    }

    func requestsAddUp(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        let before = stage.subscription.total
        stage.subject.triggerRequest?(1)
        stage.subject.triggerRequest?(2)
        // What was asked for ahead serves these as well.
        let wanted = Demand(before.count - min(before.count, Int64(prefetch)) + 3)
        _ = await stage.environment.settle { stage.subscription.total >= wanted }
        log.expect(
            stage.subscription.total >= wanted,
            "told to request 1 and 2, the subscriber's demand grew from \(before) to \(stage.subscription.total)")
    }

    func processedInOrder(_ stage: Stage<Input>, _ log: CheckLog) async {
        await stage.subscribe()
        var sent: [String] = ["onSubscribe"]
        for number in 1...8 {
            guard await stage.demand(number) else { break }
            stage.target.onNext(stage.makeElement(number))
            sent.append("onNext(\(stage.makeElement(number)))")
        }
        stage.end(failing: true)
        sent.append("onError")
        await environmentSettle(stage)
        let reports = stage.probe?.texts ?? []
        log.expect(reports == sent, "signals \(sent) were processed as \(reports)")
    }

    // MARK: Calls

    func callsAreSerial(_ stage: Stage<Input>, _ log: CheckLog) async {
        // Elements come inside the request: whatever another thread calls meanwhile overlaps it.
        let (subscription, _) = await insideRequest(stage, ending: false)
        let overlaps = subscription.overlaps
        log.expect(
            overlaps.isEmpty,
            "calls came on another thread during a call: \(overlaps.prefix(3).joined(separator: ", "))")
    }

    func insideRequest(_ stage: Stage<Input>, _ log: CheckLog, ending: Bool) async {
        let (subscription, sent) = await insideRequest(stage, ending: ending)
        if ending {
            let calls = subscription.calls - sent.callsAtEnd
            log.expect(calls <= 0, "\(calls) calls on the subscription after an end inside request")
        }
        guard let probe = stage.probe, sent.count > 0 || sent.hasEnded else { return }
        let elements = probe.texts.count { $0.hasPrefix("onNext") }
        log.expect(elements == sent.count, "\(sent.count) elements came inside request, \(elements) were processed")
        if sent.hasEnded {
            log.expect(probe.texts.last == "onComplete", "the end inside request was processed as \(probe.texts)")
        }
    }

    /// What was sent from inside `request`.
    struct Sent: Sendable {
        var count = 0
        var hasEnded = false
        var callsAtEnd = Int.max
    }

    /// Runs the subject on a subscription that signals inside `request`, unless that is inside a signal already.
    private func insideRequest(_ stage: Stage<Input>, ending: Bool) async -> (WatchedSubscription, Sent) {
        let box = LockedState<(isSignalling: Bool, sent: Sent, owed: Int)>((true, Sent(), 0))
        let self_ = LockedState<WatchedSubscription?>(nil)
        let target = stage.target
        let makeElement = stage.makeElement
        @Sendable func drain() {
            while true {
                let number: Int? = box.withLock { state in
                    guard !state.isSignalling, state.owed > 0, state.sent.count < 4, !state.sent.hasEnded else {
                        return nil
                    }
                    state.isSignalling = true
                    state.owed -= 1
                    if ending { state.sent.hasEnded = true } else { state.sent.count += 1 }
                    return state.sent.count
                }
                guard let number else { return }
                if ending {
                    box.withLock { $0.sent.callsAtEnd = self_.withLock { $0?.calls ?? 0 } }
                    target.onComplete()
                } else {
                    target.onNext(makeElement(number))
                }
                box.withLock { $0.isSignalling = false }
            }
        }
        let subscription = WatchedSubscription(onRequest: { demand in
            box.withLock { $0.owed += Int(clamping: min(demand.count, 4)) }
            drain()
        })
        self_.withLock { $0 = subscription }
        target.onSubscribe(subscription)
        box.withLock { $0.isSignalling = false }
        stage.subject.triggerRequest?(2)
        await environmentSettle(stage)
        drain()
        await environmentSettle(stage)
        self_.withLock { $0 = nil }
        return (subscription, box.withLock { $0.sent })
    }
}
