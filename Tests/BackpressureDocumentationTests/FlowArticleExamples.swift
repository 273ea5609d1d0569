// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of the article Demand-driven-streams.md, in its order, and of the documentation comments of Flow.

import Backpressure
import Testing

struct Summing: Flow.Subscriber {
    let total: AsyncStream<Int>.Continuation
    var subscription: (any Flow.Subscription)?
    var sum = 0

    init(total: AsyncStream<Int>.Continuation) {
        self.total = total
    }

    mutating func onSubscribe(_ subscription: any Flow.Subscription) {
        self.subscription = subscription
        subscription.request(1)
    }

    mutating func onNext(_ element: Int) {
        sum += element
        subscription?.request(1)  // notes the demand; the next element comes when this method has returned
    }

    mutating func onError(_ error: any Error) { total.finish() }

    mutating func onComplete() {
        total.yield(sum)
        total.finish()
    }
}

@Suite("Examples of Demand-driven-streams.md", .timeLimit(.minutes(10)))
struct FlowArticleExamples {
    @Test("a loop over a publisher")
    func overview() async throws {
        let numbers = Flow.range(0..<1_000_000)
            .filter { $0.isMultiple(of: 3) }
            .map { $0 * $0 }

        var found: [Int] = []
        for try await square in numbers.values(prefetch: 4) {
            found.append(square)
            if found.count == 3 { break }  // the publisher is cancelled; some twenty numbers were made, not a million
        }
        print(found)  // [0, 9, 36]

        #expect(found == [0, 9, 36])
    }

    @Test("a subscriber of one's own")
    func subscriber() async {
        let (stream, total) = AsyncStream<Int>.makeStream()
        Flow.range(0..<101).subscribe(Summing(total: total))
        var sum = 0
        for await part in stream { sum += part }
        #expect(sum == 5050)
    }

    @Test("a sink")
    func sink() {
        let sink = Flow.Sink<Int>(.unicast(capacity: 2))
        print(sink.emit(1), sink.emit(2), sink.emit(3))  // ok ok overflow

        #expect(sink.emit(4) == .overflow)
    }

    @Test("what is lost")
    func overflow() async throws {
        let readings = Flow.Sink<Int>(.bestEffort)
        let meter = Flow.DropMeter()
        let latest = readings.onBackpressureBuffer(2, overflow: .dropOldest, meter: meter).values(prefetch: 1)

        var iterator = latest.makeAsyncIterator()
        for reading in 1...5 { readings.emit(reading) }
        readings.finish()

        var kept: [Int] = []
        while let reading = try await iterator.next() { kept.append(reading) }
        print(kept, meter.evicted)  // [1, 4, 5] 2

        #expect(kept == [1, 4, 5] && meter.evicted == 2)
    }

    @Test("tasks and a clock")
    func work() async throws {
        let lengths = Flow.sequence(["one", "three", "five"])
            .mapAsync(limit: 2) { word in word.count }
            .timeout(idle: .seconds(30))

        var total = 0
        for try await length in lengths.values() { total += length }
        print(total)  // 12

        #expect(total == 12)
    }

    @Test("values")
    func values() async throws {
        var sum = 0
        for try await number in Flow.range(0..<1_000).values(prefetch: 16) {
            sum += number
            if number == 4 { break }  // the publisher is cancelled
        }
        print(sum)  // 10

        #expect(sum == 10)
    }

    @Test("demands add up")
    func demands() {
        var demand: Demand = 3
        demand += 4
        print(demand)  // 7
        demand += .unbounded
        demand -= 1_000
        print(demand)  // unbounded

        #expect(demand.isUnbounded && Demand(3) + 4 == 7)
    }
}
