// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Elements against demand, in one thread: source -> map -> subscriber, who asks for 1 or for 256 at a time.
//
// ## What is compared
// Ours: a sequence's publisher, `map`, and a subscriber that adds up, as a struct, which its publisher stores in place,
// and as a class, which most people write. The rivals are what the language offers for "one more, please": an
// `AsyncStream` that is asked for each element (or filled with a batch and emptied), and an actor that is told how many
// to send.

import Backpressure

enum DemandRows {
    static let requestOne = "demand.request1"
    static let requestMany = "demand.request256"
    static let structName = "Flow, struct subscriber"
    static let className = "Flow, class subscriber"

    static var rows: [Row] { [row(requestOne, batch: 1), row(requestMany, batch: 256)] }

    private static func row(_ name: String, batch: Int) -> Row {
        Row(
            name: name, unit: .nanosecondsPerOperation,
            contenders: [AtomicAdds.floor] + ours(batch: batch) + [
                Contender("AsyncStream") { try await addFromStream($0, batch: batch) },
                Contender("actor pump") { try await addFromActor($0, batch: batch) },
            ])
    }

    // MARK: Ours

    static func ours(batch: Int) -> [Contender] {
        [
            Contender(structName, ours: true) { try addWithStruct($0, batch: batch) },
            Contender(className, ours: true) { try addWithClass($0, batch: batch) },
        ]
    }

    @inline(never)
    private static func addWithStruct(_ operations: Int, batch: Int) throws -> Sample {
        let total = DemandTotal()
        let meter = Meter.begin()
        Flow.range(1..<operations + 1).map { $0 &- 1 }.subscribe(StructAdder(total, Demand(batch)))
        let sample = meter.end(operations: operations)
        try total.checksum.verify(elements: operations, in: structName)
        return sample
    }

    @inline(never)
    private static func addWithClass(_ operations: Int, batch: Int) throws -> Sample {
        let total = DemandTotal()
        let meter = Meter.begin()
        Flow.range(1..<operations + 1).map { $0 &- 1 }.subscribe(ClassAdder(total, Demand(batch)))
        let sample = meter.end(operations: operations)
        try total.checksum.verify(elements: operations, in: className)
        return sample
    }

    // MARK: Rivals

    @inline(never)
    private static func addFromStream(_ operations: Int, batch: Int) async throws -> Sample {
        var checksum = Checksum()
        let meter = Meter.begin()
        if batch == 1 {
            let source = DemandCounter(operations)
            for await number in AsyncStream<Int>(unfolding: { source.next() }).map({ $0 &- 1 }) { checksum.add(number) }
        } else {
            let (stream, continuation) = AsyncStream<Int>.makeStream(bufferingPolicy: .bufferingOldest(batch))
            var iterator = stream.map { $0 &- 1 }.makeAsyncIterator()
            var sent = 0
            while sent < operations {
                let end = min(sent + batch, operations)
                for number in sent..<end { continuation.yield(number + 1) }
                for _ in sent..<end { if let number = await iterator.next() { checksum.add(number) } }
                sent = end
            }
        }
        let sample = meter.end(operations: operations)
        try checksum.verify(elements: operations, in: "AsyncStream")
        return sample
    }

    @inline(never)
    private static func addFromActor(_ operations: Int, batch: Int) async throws -> Sample {
        let pump = DemandPump(operations)
        let total = DemandTotal()
        let meter = Meter.begin()
        while await pump.request(batch, { total.checksum.add($0) }) {}
        let sample = meter.end(operations: operations)
        try total.checksum.verify(elements: operations, in: "actor pump")
        return sample
    }
}

/// What was added up, for when the subscriber is gone.
private final class DemandTotal: @unchecked Sendable {
    var checksum = Checksum()
}

private struct StructAdder: Flow.Subscriber {
    private let total: DemandTotal
    private let batch: Demand
    private var subscription: (any Flow.Subscription)?
    private var checksum = Checksum()
    private var left: Int64

    init(_ total: DemandTotal, _ batch: Demand) {
        self.total = total
        self.batch = batch
        left = batch.count
    }

    mutating func onSubscribe(_ subscription: any Flow.Subscription) {
        self.subscription = subscription
        subscription.request(batch)
    }

    mutating func onNext(_ element: Int) {
        checksum.add(element)
        left &-= 1
        if left == 0 {
            left = batch.count
            subscription?.request(batch)
        }
    }

    mutating func onError(_ error: any Error) {}

    mutating func onComplete() { total.checksum = checksum }
}

private final class ClassAdder: Flow.Subscriber, @unchecked Sendable {
    private let total: DemandTotal
    private let batch: Demand
    private var subscription: (any Flow.Subscription)?
    private var checksum = Checksum()
    private var left: Int64

    init(_ total: DemandTotal, _ batch: Demand) {
        self.total = total
        self.batch = batch
        left = batch.count
    }

    func onSubscribe(_ subscription: any Flow.Subscription) {
        self.subscription = subscription
        subscription.request(batch)
    }

    func onNext(_ element: Int) {
        checksum.add(element)
        left &-= 1
        if left == 0 {
            left = batch.count
            subscription?.request(batch)
        }
    }

    func onError(_ error: any Error) {}

    func onComplete() { total.checksum = checksum }
}

/// One integer after the other.
private final class DemandCounter: @unchecked Sendable {
    private var last = 0
    private let count: Int

    init(_ count: Int) { self.count = count }

    func next() -> Int? {
        guard last < count else { return nil }
        last += 1
        return last
    }
}

/// Sends as many integers as it is asked for; false at the end.
private actor DemandPump {
    private var last = 0
    private let count: Int

    init(_ count: Int) { self.count = count }

    func request(_ demand: Int, _ onNext: @Sendable (Int) -> Void) -> Bool {
        let end = min(last + demand, count)
        while last < end {
            last += 1
            onNext(last &- 1)
        }
        return last < count
    }
}
