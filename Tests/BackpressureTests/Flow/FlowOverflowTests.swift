// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("Flow: onBackpressure", .timeLimit(.minutes(10)))
struct FlowOverflowTests {
    struct Drop: Equatable, Sendable {
        let element: Int
        let reason: Rejection

        init(_ element: Int, _ reason: Rejection) {
            self.element = element
            self.reason = reason
        }
    }

    @Test("a buffer drops what its policy says, counts it and hands it over once")
    func buffer() {
        func run(_ overflow: Flow.BufferOverflow) -> (Probe<Int>, Hand<Int>, [Drop], Flow.DropMeter) {
            let hand = Hand<Int>()
            let probe = Probe<Int>()
            let drops = Shared<[Drop]>([])
            let meter = Flow.DropMeter()
            hand.onBackpressureBuffer(2, overflow: overflow, meter: meter) { element, reason in
                drops.update { $0.append(Drop(element, reason)) }
            }.subscribe(probe)
            #expect(hand.requests == [Int64.max])
            hand.send(1, 2, 3, 4)
            probe.request(1)
            hand.send(5)
            hand.complete()
            probe.request(.unbounded)
            probe.expectContract()
            return (probe, hand, drops.value, meter)
        }
        let (oldest, _, oldestDrops, oldestMeter) = run(.dropOldest)
        #expect(oldest.elements == [3, 4, 5] && oldest.isComplete)
        #expect(oldestDrops == [Drop(1, .evicted), Drop(2, .evicted)] && oldestMeter.evicted == 2)
        let (newest, _, newestDrops, newestMeter) = run(.dropNewest)
        #expect(newest.elements == [1, 2, 5] && newest.isComplete)
        #expect(newestDrops == [Drop(3, .full), Drop(4, .full)] && newestMeter.full == 2 && newestMeter.total == 2)
        let (failed, hand, failedDrops, _) = run(.fail)
        #expect(failed.elements == [1, 2] && failed.error as? Rejection == .full && hand.isCancelled)
        #expect(failedDrops == [Drop(3, .full), Drop(4, .abandoned), Drop(5, .abandoned)])
    }

    @Test("what waits when downstream cancels is dropped as abandoned, and so is what arrives later")
    func abandoned() {
        let hand = Hand<Int>()
        let probe = Probe<Int>()
        let drops = Shared<[Drop]>([])
        hand.onBackpressureBuffer(4, overflow: .dropOldest) { element, reason in
            drops.update { $0.append(Drop(element, reason)) }
        }.subscribe(probe)
        hand.send(1, 2)
        probe.cancel()
        hand.send(3)
        #expect(drops.value == [Drop(1, .abandoned), Drop(2, .abandoned), Drop(3, .abandoned)] && hand.isCancelled)
        probe.expectContract()
    }

    @Test("drop keeps what was asked for, error fails on what was not")
    func dropAndError() {
        let hand = Hand<Int>()
        let probe = Probe<Int>(1)
        let meter = Flow.DropMeter()
        hand.onBackpressureDrop(meter: meter).subscribe(probe)
        hand.send(1, 2)
        probe.request(1)
        hand.send(3, 4, 5)
        #expect(probe.elements == [1, 3] && meter.full == 3)

        let other = Hand<Int>()
        let strict = Probe<Int>(2)
        let drops = Shared<[Drop]>([])
        other.onBackpressureError { element, reason in drops.update { $0.append(Drop(element, reason)) } }
            .subscribe(strict)
        other.send(1, 2, 3, 4)
        #expect(strict.elements == [1, 2] && strict.error as? Rejection == .full && other.isCancelled)
        #expect(drops.value == [Drop(3, .full), Drop(4, .abandoned)])
        probe.expectContract()
        strict.expectContract()
    }

    @Test("latest keeps the newest; conflate keeps one summary of all")
    func latestAndConflate() {
        let hand = Hand<Int>()
        let probe = Probe<Int>(1)
        hand.onBackpressureLatest().subscribe(probe)
        hand.send(1, 2, 3, 4)
        probe.request(1)
        #expect(probe.elements == [1, 4])

        let other = Hand<Int>()
        let sums = Probe<[Int]>(1)
        other.conflate(seed: { [$0] }) { $0 + [$1] }.subscribe(sums)
        other.send(1, 2, 3, 4)
        other.complete()
        #expect(!sums.hasEnded)
        sums.request(1)
        #expect(sums.elements == [[1], [2, 3, 4]] && sums.isComplete)
        probe.expectContract()
        sums.expectContract()
    }

    @Test("elements older than their time to live are dropped as timed out")
    func timeToLive() {
        let clock = ManualClock()
        let hand = Hand<Int>()
        let probe = Probe<Int>()
        let drops = Shared<[Drop]>([])
        hand.onBackpressureBuffer(8, overflow: .fail, timeToLive: .seconds(5), clock: clock) { element, reason in
            drops.update { $0.append(Drop(element, reason)) }
        }.subscribe(probe)
        hand.send(1)
        clock.advance(by: .seconds(3))
        hand.send(2)
        clock.advance(by: .seconds(2))
        probe.request(2)
        #expect(probe.elements == [2] && drops.value == [Drop(1, .timedOut)])
        hand.send(3)
        #expect(probe.elements == [2, 3])
        probe.expectContract()
    }

    enum Kind: CaseIterable, Sendable {
        case oldest, newest, drop, latest, conflate
    }

    @Test("memory stays flat behind a slow subscriber, and every element is accounted for", arguments: Kind.allCases)
    func flat(kind: Kind) {
        let count = LaneSize("flow.overflow.\(kind)", plain: 10_000, sanitizer: 10_000, deep: 10_000_000).count
        let probe = Probe<Int>()
        let dropped = Shared(0)
        let meter = Flow.DropMeter()
        let hook: Flow.DropHook<Int> = { _, _ in dropped.update { $0 += 1 } }
        let hand = Hand<Int>()
        // The elements are counted by a token that lives as long as they do.
        let living = Living()
        let tokens = hand.map { Token($0, living) }
        let tokenHook: Flow.DropHook<Token> = { token, reason in hook(token.number, reason) }
        let sums = Shared(0)
        switch kind {
        case .oldest:
            tokens.onBackpressureBuffer(16, overflow: .dropOldest, meter: meter, onDropped: tokenHook)
                .map(\.number).subscribe(probe)
        case .newest:
            tokens.onBackpressureBuffer(16, overflow: .dropNewest, meter: meter, onDropped: tokenHook)
                .map(\.number).subscribe(probe)
        case .drop: tokens.onBackpressureDrop(meter: meter, onDropped: tokenHook).map(\.number).subscribe(probe)
        case .latest: tokens.onBackpressureLatest(meter: meter, onDropped: tokenHook).map(\.number).subscribe(probe)
        case .conflate:
            tokens.conflate(seed: { _ in 1 }) { total, _ in total + 1 }
                .map { sum in
                    sums.update { $0 += sum }
                    return sum
                }.subscribe(probe)
        }
        var greatest = 0
        for number in 0..<count {
            hand.send(number)
            if number % 100 == 0 { probe.request(1) }
            greatest = max(greatest, living.count)
        }
        hand.complete()
        probe.request(.unbounded)
        #expect(probe.isComplete && greatest <= 17 && living.count == 0, "\(greatest) elements lived at once")
        if kind == .conflate {
            #expect(sums.value == count)
        } else {
            #expect(dropped.value + probe.elements.count == count && meter.total == UInt64(dropped.value))
            #expect(probe.elements == probe.elements.sorted())
        }
        probe.expectContract()
    }

    final class Living: Sendable {
        private let number = Shared(0)
        var count: Int { number.value }
        func add(_ change: Int) { number.update { $0 += change } }
    }

    final class Token: Sendable {
        let number: Int
        let living: Living

        init(_ number: Int, _ living: Living) {
            self.number = number
            self.living = living
            living.add(1)
        }

        deinit { living.add(-1) }
    }

    @Test("upstream and downstream on threads of their own: each element is sent or dropped, once")
    func threads() {
        let count = LaneSize("flow.overflow.threads", plain: 10_000, sanitizer: 5_000, deep: 5_000_000).count
        for overflow in [Flow.BufferOverflow.dropOldest, .dropNewest] {
            let hand = Hand<Int>()
            let probe = Probe<Int>()
            let dropped = Shared(0)
            let isDone = Shared(false)
            hand.onBackpressureBuffer(4, overflow: overflow) { _, _ in dropped.update { $0 += 1 } }.subscribe(probe)
            Threads.run(2) { index in
                if index == 0 {
                    for number in 0..<count { hand.send(number) }
                    hand.complete()
                    isDone.update { $0 = true }
                } else {
                    while !isDone.value { probe.request(1) }
                }
            }
            probe.request(.unbounded)
            #expect(probe.isComplete && probe.elements.count + dropped.value == count)
            #expect(probe.elements == probe.elements.sorted())
            probe.expectContract()
        }
    }
}

@Suite("Flow: sinks", .timeLimit(.minutes(10)))
struct FlowSinkTests {
    @Test("unicast keeps what is emitted early, up to its capacity, and has one subscriber")
    func unicast() {
        let sink = Flow.Sink<Int>(.unicast(capacity: 2))
        #expect(sink.emit(1) == .ok && sink.emit(2) == .ok && sink.emit(3) == .overflow)
        let probe = Probe<Int>(1)
        sink.subscribe(probe)
        #expect(probe.elements == [1] && sink.maximumLag == 1)
        #expect(sink.emit(4) == .ok && sink.emit(5) == .overflow)
        let second = Probe<Int>(1)
        sink.subscribe(second)
        #expect(second.error is Flow.AlreadySubscribed)
        sink.finish()
        #expect(!probe.hasEnded && sink.emit(6) == .terminated)
        probe.request(2)
        #expect(probe.elements == [1, 2, 4] && probe.isComplete)
        for probe in [probe, second] { probe.expectContract() }

        let other = Flow.Sink<Int>(.unicast(capacity: 2))
        let leaving = Probe<Int>(1)
        other.subscribe(leaving)
        leaving.cancel()
        #expect(other.emit(1) == .cancelled)
        let late = Flow.Sink<Int>(.unicast(capacity: 2))
        late.emit(1)
        late.finish(throwing: Boom())
        let last = Probe<Int>(.unbounded)
        late.subscribe(last)
        #expect(last.elements == [1] && last.error is Boom)
    }

    @Test("best effort: who has asked gets it, who has not misses it, and it is counted")
    func bestEffort() {
        let meter = Flow.DropMeter()
        let missed = Shared<[Int]>([])
        let sink = Flow.Sink<Int>(.bestEffort, meter: meter) { element, _ in missed.update { $0.append(element) } }
        #expect(sink.emit(0) == .noSubscriber)
        let fast = Probe<Int>(.unbounded)
        let slow = Probe<Int>(1)
        sink.subscribe(fast)
        sink.subscribe(slow)
        #expect(sink.emit(1) == .ok && sink.emit(2) == .ok)
        #expect(fast.elements == [1, 2] && slow.elements == [1] && missed.value == [2] && meter.full == 1)
        fast.cancel()
        #expect(sink.emit(3) == .overflow && missed.value == [2])
        #expect(sink.subscriberCount == 1 && sink.minimumDemand == 0)
        sink.finish()
        #expect(slow.isComplete && !fast.hasEnded)
        let late = Probe<Int>()
        sink.subscribe(late)
        #expect(late.isComplete)
        for probe in [fast, slow, late] { probe.expectContract() }
    }

    @Test("all or nothing, and buffered: with all of them or with none")
    func together() {
        let strict = Flow.Sink<Int>(.allOrNothing)
        let fast = Probe<Int>(.unbounded)
        let slow = Probe<Int>(1)
        strict.subscribe(fast)
        strict.subscribe(slow)
        #expect(strict.emit(1) == .ok && strict.emit(2) == .overflow)
        slow.request(1)
        #expect(strict.emit(3) == .ok && fast.elements == [1, 3] && slow.elements == [1, 3])

        let buffered = Flow.Sink<Int>(.buffered(capacity: 2))
        let quick = Probe<Int>(.unbounded)
        let late = Probe<Int>()
        buffered.subscribe(quick)
        buffered.subscribe(late)
        #expect(buffered.emit(1) == .ok && buffered.emit(2) == .ok && buffered.emit(3) == .overflow)
        late.request(1)
        #expect(buffered.emit(4) == .ok && quick.elements == [1, 2, 4] && late.elements == [1])
        late.cancel()
        #expect(buffered.emit(5) == .ok && quick.elements == [1, 2, 4, 5])
        for probe in [fast, slow, quick, late] { probe.expectContract() }
    }

    @Test("emitting from inside a signal does not nest, and keeps the order")
    func reentrant() {
        let sink = Flow.Sink<Int>(.unicast(capacity: 4))
        let probe = Probe<Int>(.unbounded) { _, element in if element < 100_000 { sink.emit(element + 1) } }
        sink.subscribe(probe)
        Threads.run(1, stackSize: 1 << 18) { _ in sink.emit(1) }
        #expect(probe.elements == Array(1...100_000))
        probe.expectContract()
    }

    @Test("emitters on four threads: serial, in one order for all, nothing lost")
    func emitters() {
        let count = LaneSize("flow.sink.emitters", plain: 2_500, sanitizer: 2_000, deep: 1_000_000).count
        let sink = Flow.Sink<Int>(.buffered(capacity: 128))
        let probes = (0..<3).map { _ in Probe<Int>(16, each: 1) }
        for probe in probes { sink.subscribe(probe) }
        Threads.run(4) { index in
            for number in 0..<count { while sink.emit(index * count + number) == .overflow {} }
        }
        sink.finish()
        for probe in probes {
            #expect(probe.isComplete && probe.elements == probes[0].elements && probe.elements.count == 4 * count)
            probe.expectContract()
        }
        for index in 0..<4 {
            #expect(probes[0].elements.filter { $0 / count == index } == Array(index * count..<(index + 1) * count))
        }
    }

    @Test("a processor goes at the pace of its slowest subscriber and asks for what fits")
    func processor() {
        let hand = Hand<Int>()
        let processor = Flow.MulticastProcessor<Int>(capacity: 4)
        hand.subscribe(processor)
        #expect(hand.requests.isEmpty)
        let fast = Probe<Int>(.unbounded)
        let slow = Probe<Int>()
        processor.subscribe(fast)
        processor.subscribe(slow)
        #expect(hand.requests == [4] && processor.subscriberCount == 2)
        hand.send(1, 2, 3, 4)
        #expect(fast.elements == [1, 2, 3, 4] && hand.requestedInAll == 4)
        slow.request(3)
        #expect(slow.elements == [1, 2, 3] && hand.requestedInAll == 5)
        let second = Hand<Int>()
        second.subscribe(processor)
        #expect(second.isCancelled)
        hand.send(5)
        hand.fail(Boom())
        #expect(fast.error is Boom && !slow.hasEnded)
        slow.request(5)
        #expect(slow.elements == [1, 2, 3, 4, 5] && slow.error is Boom)
        let late = Probe<Int>()
        processor.subscribe(late)
        #expect(late.error is Boom)
        for probe in [fast, slow, late] { probe.expectContract() }
    }

    @Test("a processor asks for nothing before somebody asks it, and leaves upstream with its last subscriber")
    func processorLeaves() {
        let hand = Hand<Int>()
        let processor = Flow.MulticastProcessor<Int>(capacity: 4)
        hand.subscribe(processor)
        let first = Probe<Int>()
        let second = Probe<Int>()
        processor.subscribe(first)
        processor.subscribe(second)
        #expect(hand.requests.isEmpty)
        second.request(1)
        #expect(hand.requests == [4])
        hand.send(1)
        second.cancel()
        #expect(!hand.isCancelled && second.elements == [1])
        first.cancel()
        #expect(hand.isCancelled)
        let late = Probe<Int>(1)
        processor.subscribe(late)
        #expect(late.error as? Rejection == .cancelled)
        let another = Hand<Int>()
        another.subscribe(processor)
        #expect(another.isCancelled)
        for probe in [first, second, late] { probe.expectContract() }
    }

    @Test("a processor that stays keeps what was asked for, for the next subscriber")
    func processorStays() {
        let hand = Hand<Int>()
        let processor = Flow.MulticastProcessor<Int>(capacity: 4, cancelsWithLastSubscriber: false)
        hand.subscribe(processor)
        let first = Probe<Int>(1)
        processor.subscribe(first)
        hand.send(1)
        first.cancel()
        #expect(!hand.isCancelled && first.elements == [1])
        hand.send(2)
        let next = Probe<Int>(.unbounded)
        processor.subscribe(next)
        #expect(next.elements == [2])
        hand.complete()
        #expect(next.isComplete)
        for probe in [first, next] { probe.expectContract() }
    }

    @Test("a processor between two chains, requests from inside: all arrives, the stack stays flat")
    func processorChain() {
        let processor = Flow.MulticastProcessor<Int>(capacity: 8)
        let probes = [Probe<Int>(1, each: 1), Probe<Int>(.unbounded)]
        Threads.run(1, stackSize: 1 << 18) { _ in
            for probe in probes { processor.map { $0 * 2 }.subscribe(probe) }
            Flow.range(0..<20_000).subscribe(processor)
        }
        for probe in probes {
            #expect(probe.isComplete && probe.elements == (0..<20_000).map { $0 * 2 })
            probe.expectContract()
        }
    }

    @Test("a submission waits for the slowest subscriber; an offer gives up in time")
    func submission() async throws {
        let clock = ManualClock()
        let publisher = Flow.SubmissionPublisher<Int>(capacity: 2, clock: clock)
        let slow = Probe<Int>()
        let fast = Probe<Int>(.unbounded)
        publisher.subscribe(slow)
        publisher.subscribe(fast)
        for number in 1...3 { #expect(await publisher.submit(number).isSent) }
        #expect(fast.elements == [1, 2] && publisher.estimatedMaximumLag == 2 && publisher.subscriberCount == 2)
        let waiting = Task { await publisher.submit(4).isSent }
        let asked = Shared<[Int]>([])
        let offered = Task {
            await publisher.offer(5, timeout: .seconds(5)) { element in
                asked.update { $0.append(element) }
                return false
            }
        }
        await clock.sleepers(atLeast: 1)
        clock.advance(by: .seconds(5))
        let answer = await offered.value
        #expect(!answer.isSent && answer.reason == nil, "the offer was not dropped: \(answer)")
        #expect(asked.value == [5])
        slow.request(2)
        #expect(await waiting.value)
        try await settle { fast.elements == [1, 2, 3, 4] }
        slow.request(.unbounded)
        publisher.finish()
        #expect(slow.elements == [1, 2, 3, 4] && slow.isComplete && fast.isComplete)
        #expect(await publisher.submit(6).reason == .finished)
        for probe in [slow, fast] { probe.expectContract() }
    }

    @Test("without subscribers a submission waits for one; cancelling it brings the element back")
    func submissionWaits() async throws {
        let publisher = Flow.SubmissionPublisher<Int>(capacity: 1)
        #expect(await publisher.submit(1).isSent)
        let waiting = Task { await publisher.submit(2) }
        let cancelled = Task { await publisher.submit(3) }
        cancelled.cancel()
        let back = await cancelled.value
        #expect(back.reason == .cancelled && back.take() == 3)
        let probe = Probe<Int>(.unbounded)
        publisher.subscribe(probe)
        #expect(await waiting.value.isSent)
        try await settle { probe.elements == [1, 2] }
        publisher.finish(throwing: Boom())
        try await settle { probe.error is Boom }
        probe.expectContract()
    }

    @Test("producers in tasks, subscribers of different speed: all get all, in each producer's order")
    func submissionStorm() async throws {
        let count = LaneSize("flow.submission", plain: 2_000, sanitizer: 500, deep: 200_000).count
        let publisher = Flow.SubmissionPublisher<Int>(capacity: 4)
        let probes = [Probe<Int>(.unbounded), Probe<Int>(1, each: 1), Probe<Int>(3, each: 1)]
        for probe in probes { publisher.subscribe(probe) }
        await withTaskGroup(of: Void.self) { group in
            for producer in 0..<3 {
                group.addTask {
                    for number in 0..<count { _ = await publisher.submit(producer * count + number) }
                }
            }
        }
        publisher.finish()
        try await settle { probes.allSatisfy(\.isComplete) }
        for probe in probes {
            #expect(probe.elements.count == 3 * count && probe.elements == probes[0].elements)
            probe.expectContract()
        }
        for producer in 0..<3 {
            #expect(
                probes[0].elements.filter { $0 / count == producer }
                    == Array(producer * count..<(producer + 1) * count))
        }
    }
}
