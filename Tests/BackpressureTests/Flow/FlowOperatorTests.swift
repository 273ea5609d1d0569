// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("Flow: operators without a buffer", .timeLimit(.minutes(10)))
struct FlowPassThroughTests {
    @Test("map, tryMap, scan: demand passes through unchanged")
    func passThrough() {
        let hand = Hand<Int>()
        let probe = Probe<String>()
        hand.map { $0 * 2 }.scan(0, +).tryMap { "\($0)" }.subscribe(probe)
        probe.request(3)
        probe.request(.unbounded)
        #expect(hand.requests == [3, Int64.max])
        hand.send(1, 2, 3)
        #expect(probe.elements == ["2", "6", "12"])
        hand.complete()
        #expect(probe.isComplete)
        probe.expectContract()
    }

    @Test("a throw ends the stream and cancels upstream; nothing follows")
    func tryMapThrows() {
        let hand = Hand<Int>()
        let probe = Probe<Int>(5)
        hand.tryMap { if $0 == 2 { throw Boom() } else { $0 } }.subscribe(probe)
        hand.send(1, 2, 3)
        hand.complete()
        #expect(probe.elements == [1] && probe.error is Boom && hand.isCancelled)
        probe.expectContract()
    }

    @Test("filter and compactMap ask again for each element that falls")
    func filter() {
        let hand = Hand<Int>()
        let probe = Probe<Int>(2)
        hand.filter { $0 > 2 }.subscribe(probe)
        hand.send(1, 2, 3)
        #expect(hand.requests == [2, 1, 1] && probe.elements == [3])

        let all = Probe<Int>(3)
        Flow.range(0..<100).compactMap { $0 % 10 == 0 ? $0 / 10 : nil }.subscribe(all)
        #expect(all.elements == [0, 1, 2])
        all.request(.unbounded)
        #expect(all.elements == Array(0..<10) && all.isComplete)
        probe.expectContract()
        all.expectContract()
    }

    @Test("prefix asks for no more than its count and cancels with the last")
    func prefix() {
        let hand = Hand<Int>()
        let probe = Probe<Int>()
        hand.prefix(3).subscribe(probe)
        probe.request(2)
        probe.request(.unbounded)
        probe.request(1)
        #expect(hand.requests == [2, 1])
        hand.send(1, 2)
        #expect(!probe.hasEnded)
        hand.send(3)
        #expect(probe.elements == [1, 2, 3] && probe.isComplete && hand.isCancelled)
        hand.send(4)
        hand.complete()
        probe.expectContract()

        let none = Probe<Int>()
        Flow.range(0..<5).prefix(0).subscribe(none)
        #expect(none.isComplete)
        let early = Probe<Int>(.unbounded) { probe, element in if element == 1 { probe.cancel() } }
        Flow.range(0..<5).prefix(2).subscribe(early)
        #expect(early.elements == [0, 1] && !early.hasEnded)
        let short = Probe<Int>(.unbounded)
        Flow.range(0..<2).prefix(5).subscribe(short)
        #expect(short.elements == [0, 1] && short.isComplete)
        let bad = Probe<Int>(0)
        Flow.range(0..<5).prefix(2).subscribe(bad)
        bad.request(-3)
        #expect(bad.error is Flow.InvalidDemand)
        for probe in [none, early, short, bad] { probe.expectContract() }
    }

    @Test("errors and the end pass through")
    func ends() {
        func ends(_ build: (Hand<Int>) -> any Flow.Publisher<Int>) {
            for isError in [false, true] {
                let hand = Hand<Int>()
                let probe = Probe<Int>(4)
                subscribe(build(hand), probe)
                hand.send(5)
                if isError { hand.fail(Boom()) } else { hand.complete() }
                #expect(probe.elements == [5] && probe.isComplete == !isError && (probe.error is Boom) == isError)
                probe.expectContract()
            }
        }
        ends { $0.map { $0 } }
        ends { $0.filter { _ in true } }
        ends { $0.compactMap { $0 } }
        ends { $0.scan(0, +) }
        ends { $0.prefix(9) }
        ends { $0.limitRate(4) }
        ends { $0.onBackpressureBuffer(4, overflow: .fail) }
        ends { $0.onBackpressureLatest() }
        ends { $0.onBackpressureDrop() }
        ends { $0.onBackpressureError() }
        ends { $0.conflate(+) }
        ends { $0.timeout(idle: .seconds(5), clock: ManualClock()) }
        ends { $0.retry(0) }
        ends { $0.flatMap(maxConcurrency: 2) { Flow.just($0) } }
        ends { $0.concatMap { Flow.just($0) } }
        ends { $0.merge(with: Flow.empty()) }
    }

    private func subscribe(_ publisher: some Flow.Publisher<Int>, _ probe: Probe<Int>) { publisher.subscribe(probe) }
}

@Suite("Flow: windows", .timeLimit(.minutes(10)))
struct FlowWindowTests {
    @Test("limitRate asks for high, then low for each low that went on")
    func limitRate() {
        let hand = Hand<Int>()
        let probe = Probe<Int>()
        hand.limitRate(4).subscribe(probe)
        #expect(hand.requests == [4])
        hand.send(1, 2, 3, 4)
        probe.request(2)
        #expect(probe.elements == [1, 2] && hand.requests == [4])
        probe.request(.unbounded)
        #expect(probe.elements == [1, 2, 3, 4] && hand.requests == [4, 3])
        hand.send(5, 6, 7)
        #expect(hand.requests == [4, 3, 3])
        probe.expectContract()
    }

    @Test("an end waits for what came before it")
    func endWaits() {
        let hand = Hand<Int>()
        let probe = Probe<Int>()
        hand.limitRate(8, low: 8).subscribe(probe)
        hand.send(1, 2)
        hand.fail(Boom())
        #expect(!probe.hasEnded)
        probe.request(1)
        #expect(probe.elements == [1] && !probe.hasEnded)
        probe.request(1)
        #expect(probe.elements == [1, 2] && probe.error is Boom)
        probe.expectContract()
    }

    @Test("an upstream that sends more than it was asked for is cut off")
    func overrun() {
        let hand = Hand<Int>()
        let probe = Probe<Int>(.unbounded)
        hand.limitRate(2, low: 2).subscribe(probe)
        let idle = Probe<Int>()
        let other = Hand<Int>()
        other.limitRate(2, low: 2).subscribe(idle)
        other.send(1, 2, 3, 4)
        #expect(other.isCancelled)
        idle.request(.unbounded)
        #expect(idle.elements == [1, 2] && idle.error as? Rejection == .full)
        hand.send(1)
        #expect(!hand.isCancelled)
        probe.expectContract()
        idle.expectContract()
    }

    @Test("cancel goes up, an invalid demand ends the stream and cancels upstream, references are dropped")
    func cancel() {
        let hand = Hand<Int>()
        let probe = Probe<Int>(1)
        hand.limitRate(2).subscribe(probe)
        probe.cancel()
        probe.cancel()
        hand.send(1)
        hand.complete()
        #expect(hand.isCancelled && probe.elements.isEmpty && !probe.hasEnded)

        let other = Hand<Int>()
        let bad = Probe<Int>()
        other.limitRate(2).subscribe(bad)
        bad.request(0)
        #expect(other.isCancelled && bad.error is Flow.InvalidDemand)

        weak var gone: Probe<Int>?
        let hand3 = Hand<Int>()
        do {
            let probe = Probe<Int>()
            gone = probe
            hand3.limitRate(2).subscribe(probe)
            probe.cancel()
            probe.log.update { $0.subscription = nil }
        }
        #expect(gone == nil)
        probe.expectContract()
        bad.expectContract()
    }

    @Test("cancelled in onSubscribe: upstream is not even subscribed to")
    func cancelEarly() {
        struct Refusing: Flow.Subscriber {
            func onSubscribe(_ subscription: any Flow.Subscription) { subscription.cancel() }
            func onNext(_ element: Int) { Issue.record("an element") }
            func onError(_ error: any Error) { Issue.record("an error") }
            func onComplete() { Issue.record("an end") }
        }
        let hand = Hand<Int>()
        hand.limitRate(2).subscribe(Refusing())
        #expect(hand.log.value.subscriptions == 0)
        Flow.range(0..<3).subscribe(Refusing())
        Flow.empty().subscribe(Refusing())
    }

    @Test("many elements, one at a time, through every stage: the stack stays flat")
    func deep() {
        let count = LaneSize("flow.stages", plain: 5_000, sanitizer: 2_000, deep: 10_000_000).count
        func run(_ publisher: some Flow.Publisher<Int>) {
            let sum = Shared(0)
            Threads.run(1, stackSize: 1 << 18) { [publisher = Unchecked(publisher)] _ in
                publisher.value.subscribe(Summing(sum))
            }
            #expect(sum.value == count * (count - 1) / 2)
        }
        let source = Flow.range(0..<count)
        run(source.limitRate(4))
        run(source.timeout(idle: .seconds(60)))
        run(source.retry(3))
        run(source.concatMap { Flow.just($0) })
        run(source.flatMap(maxConcurrency: 4) { Flow.just($0) })
        run(source.merge(with: Flow.empty()))
        run(source.zip(with: Flow.range(0..<count)).map { $0.1 })
        run(source.buffer(1).map { $0[0] })
        run(source.prefix(count).filter { _ in true }.limitRate(1).limitRate(16).map { $0 })
    }

    @Test("receive(on:) sends on the executor, in order, and the end with it")
    func receive() async {
        let executor = StepExecutor()
        let hand = Hand<Int>()
        let probe = Probe<Int>(2)
        hand.receive(on: executor, prefetch: 4).subscribe(probe)
        executor.run()
        #expect(hand.requests == [4])
        hand.send(1, 2, 3)
        #expect(probe.elements.isEmpty)
        executor.run()
        #expect(probe.elements == [1, 2])
        probe.request(5)
        hand.complete()
        #expect(probe.elements == [1, 2])
        executor.run()
        #expect(probe.elements == [1, 2, 3] && probe.isComplete)
        probe.expectContract()
    }
}

/// Asks for one element after the other and adds them up.
struct Summing: Flow.Subscriber {
    let total: Shared<Int>
    var subscription: (any Flow.Subscription)?
    var sum = 0

    init(_ total: Shared<Int>) { self.total = total }

    mutating func onSubscribe(_ subscription: any Flow.Subscription) {
        self.subscription = subscription
        subscription.request(1)
    }
    mutating func onNext(_ element: Int) {
        sum += element
        subscription?.request(1)
    }
    mutating func onError(_ error: any Error) { Issue.record("\(error)") }
    mutating func onComplete() { total.update { [sum] in $0 = sum } }
}

/// Handed to a thread that alone uses it.
struct Unchecked<Value>: @unchecked Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }
}
