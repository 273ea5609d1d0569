// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Everything a channel can do at once: sends of every kind, reservations, batches, force, cancellations, timeouts,
// resizes and watermarks, from tasks and from threads. At the end the books balance.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

/// What became of elements, by number and by sum: each element is a number of its own.
private struct Books: Sendable {
    struct Line: Equatable, Sendable {
        var count = 0
        var sum = 0

        mutating func add(_ value: Int) { (count, sum) = (count + 1, sum &+ value) }
        static func + (left: Line, right: Line) -> Line {
            Line(count: left.count + right.count, sum: left.sum &+ right.sum)
        }
    }

    var made = Line()
    var sent = Line()
    var dropped = Line()
    var returned = Line()
    var received = Line()
    /// Back with the sender that forced its own in.
    var evicted = Line()
    var operations = 0

    mutating func book(_ result: SendResult<Int>, _ value: Int) {
        made.add(value)
        switch result {
        case .sent: sent.add(value)
        case .dropped: dropped.add(value)
        case .returned(let rejected): returned.add(rejected.element)
        }
    }

    mutating func book(_ result: ForceSendResult<Int>, _ value: Int) {
        made.add(value)
        switch result {
        case .sent: sent.add(value)
        case .evicted(let element):
            sent.add(value)
            evicted.add(element)
        case .returned(let rejected): returned.add(rejected.element)
        }
    }

    mutating func book(_ result: BatchSendResult, _ values: ArraySlice<Int>) {
        for (index, value) in values.enumerated() {
            made.add(value)
            // Which of a batch were dropped is not said; the hook knows.
            if index < result.accepted { sent.add(value) } else { returned.add(value) }
        }
    }

    static func + (left: Books, right: Books) -> Books {
        Books(
            made: left.made + right.made, sent: left.sent + right.sent, dropped: left.dropped + right.dropped,
            returned: left.returned + right.returned, received: left.received + right.received,
            evicted: left.evicted + right.evicted, operations: left.operations + right.operations)
    }
}

/// The channel of a storm and what everybody does with it.
private final class MixedStorm: Sendable {
    static let maximum = 64

    let clock = ManualClock()
    let channel: BoundedChannel<Int, Never>
    let hook = Shared((full: Books.Line(), other: Books.Line()))
    let edges = Shared((last: PressureEdge.resume, wrong: 0, count: 0))
    private let total = Shared(Books())
    private let over = Shared(false)
    private let wrong = Shared<[String]>([])

    init(overflow: OverflowPolicy, fairness: Fairness) {
        let (hook, edges) = (hook, edges)
        let marks = Watermarks(low: 3, high: 12) { edge in
            edges.update {
                if $0.last == edge { $0.wrong += 1 }
                $0.last = edge
                $0.count += 1
            }
        }
        channel = BoundedChannel(
            capacity: 16, maximumCapacity: Self.maximum, overflow: overflow, watermarks: marks, fairness: fairness,
            clock: clock
        ) { element, reason in
            let value = element
            hook.update { if reason == .full { $0.full.add(value) } else { $0.other.add(value) } }
        }
    }

    var isOver: Bool { over.value }
    func end() { over.update { $0 = true } }
    func hand(in books: Books) { total.update { $0 = $0 + books } }
    var books: Books { total.value }
    var mistakes: [String] { wrong.value }

    // MARK: What a task does

    func produce(_ index: Int, _ operations: Int) async {
        var (books, random, next) = (Books(), SplitMix64(seed: UInt64(index) &+ 77), index << 40)
        func value() -> Int {
            next += 1
            return next
        }
        while books.operations < operations {
            books.operations += 1
            switch random.next(upperBound: UInt64(12)) {
            case 0, 1:
                let value = value()
                books.book(await channel.send(value), value)
            case 2:
                let value = value()
                books.book(await channel.send(value, timeout: .microseconds(20)), value)
            case 3:
                let value = value()
                let task = Task { [channel] in await channel.send(value) }
                if random.next() & 1 == 0 { await Task.yield() }
                task.cancel()
                books.book(await task.value, value)
            case 4:
                if let room = try? await channel.reserve(timeout: .microseconds(30)), random.next() & 3 != 0 {
                    let value = value()
                    books.book(room.send(value), value)
                }
            case 5:
                let count = 1 + Int(random.next(upperBound: UInt64(4)))
                if var batch = try? await channel.reserve(count: count, timeout: .microseconds(30)) {
                    for _ in 0..<Int(random.next(upperBound: UInt64(count + 1))) {
                        let value = value()
                        books.book(batch.send(value), value)
                    }
                }
            case 6:
                let values = (0..<5).map { _ in value() }
                books.book(await channel.send(contentsOf: values), values[...])
            default: sendWithoutWaiting(&books, &random, value)
            }
        }
        hand(in: books)
    }

    func consume(_ index: Int) async {
        var (books, random) = (Books(), SplitMix64(seed: UInt64(index) &+ 991))
        var buffer: [Int] = []
        while !Task.isCancelled {
            books.operations += 1
            switch random.next(upperBound: UInt64(8)) {
            case 0, 1, 2: if let value = try? await channel.receive() { books.received.add(value) }
            case 3: if let value = try? await channel.receive(timeout: .microseconds(20)) { books.received.add(value) }
            case 4:
                let task = Task { [channel] in try? await channel.receive() }
                if random.next() & 1 == 0 { await Task.yield() }
                task.cancel()
                if let value = await task.value { books.received.add(value) }
            case 5:
                _ = try? await channel.receive(into: &buffer, upTo: 6)
                for value in buffer { books.received.add(value) }
                buffer.removeAll(keepingCapacity: true)
            default: if let value = channel.tryReceive().take() { books.received.add(value) }
            }
        }
        hand(in: books)
    }

    // MARK: What a thread does

    func sendWithoutWaiting(_ books: inout Books, _ random: inout SplitMix64, _ value: () -> Int) {
        switch random.next(upperBound: UInt64(8)) {
        case 0:
            let value = value()
            books.book(channel.forceSend(value), value)
        case 1:
            if let room = try? channel.tryReserve(), random.next() & 1 == 0 {
                let value = value()
                books.book(room.send(value), value)
            }
        case 2:
            let values = (0..<4).map { _ in value() }
            books.book(channel.trySend(contentsOf: values), values[...])
        default:
            let value = value()
            books.book(channel.trySend(value), value)
        }
    }

    func sendFromThread(_ index: Int, _ operations: Int) {
        var (books, random, next) = (Books(), SplitMix64(seed: UInt64(index) &+ 5), (index + 100) << 40)
        while books.operations < operations {
            books.operations += 1
            sendWithoutWaiting(&books, &random) {
                next += 1
                return next
            }
            if random.next() & 31 == 0 { sched_yield() }
        }
        hand(in: books)
    }

    func receiveFromThread() {
        var books = Books()
        while !isOver {
            books.operations += 1
            if let value = channel.tryReceive().take() { books.received.add(value) } else { sched_yield() }
        }
        hand(in: books)
    }

    /// Resizes, lets time pass, and looks: the depth never grows while it is above the capacity.
    func disturb() {
        var random = SplitMix64(seed: 4242)
        while !isOver {
            switch random.next(upperBound: UInt64(4)) {
            case 0: channel.resize(capacity: 1 + Int(random.next(upperBound: UInt64(Self.maximum))))
            case 1: clock.advance(by: .microseconds(15))
            default:
                let snapshot = channel.snapshot()
                let isRight =
                    snapshot.sent == snapshot.received + UInt64(snapshot.depth) + snapshot.evicted
                    + snapshot.abandoned && snapshot.depth + snapshot.reserved <= Self.maximum
                if !isRight { wrong.update { $0.append("\(snapshot)") } }
            }
            for _ in 0..<20 { sched_yield() }
        }
    }
}

@Suite("storms of everything", .serialized, .timeLimit(.minutes(10)))
struct ChannelMixedStormTests {
    static let policies: [OverflowPolicy] =
        [.suspend, .dropOldest, .dropNewest]
        + [OverflowPolicy.Fallback.reject, .dropNewest, .dropOldest].map { .suspend(for: .microseconds(40), then: $0) }

    @Test("sent = received + buffered + returned + dropped, nobody waits, the capacity is whole", arguments: policies)
    func booksBalance(overflow: OverflowPolicy) async {
        let size = LaneSize("storm.mixed \(overflow)", plain: 8_000, sanitizer: 800, deep: 180_000)
        for fairness in [Fairness.default, .fifo] {
            let storm = MixedStorm(overflow: overflow, fairness: fairness)
            let consumers = (0..<2).map { index in Task { await storm.consume(index) } }
            let producers = (0..<3).map { index in Task { await storm.produce(index, size.count / 10) } }
            let blocking = Task.detached {
                Threads.run(4) { index in
                    switch index {
                    case 0, 1: storm.sendFromThread(index, size.count / 10)
                    case 2: storm.receiveFromThread()
                    default: storm.disturb()
                    }
                }
            }
            for producer in producers { await producer.value }
            storm.end()
            await blocking.value
            for consumer in consumers { consumer.cancel() }
            for consumer in consumers { await consumer.value }
            check(storm, overflow)
        }
    }

    private func check(_ storm: MixedStorm, _ overflow: OverflowPolicy) {
        var rest = Books()
        let channel = storm.channel
        while let value = channel.tryReceive().take() { rest.received.add(value) }
        let books = storm.books + rest
        let (full, other) = storm.hook.value
        let snapshot = channel.snapshot()
        let context: Comment = "\(overflow): \(books), \(snapshot)"
        #expect(storm.mistakes.isEmpty, "\(storm.mistakes.prefix(3))")
        // What a batch had dropped is booked as sent; the hook has it as dropped on arrival.
        #expect(books.made == books.sent + books.dropped + books.returned, context)
        #expect(books.sent + books.dropped == books.received + books.evicted + other + full, context)
        #expect(snapshot.waitingSenders == 0 && snapshot.waitingReceivers == 0 && snapshot.depth == 0, context)
        #expect(snapshot.reserved == 0 && !snapshot.isPaused, context)
        #expect(snapshot.received == UInt64(books.received.count), context)
        #expect(snapshot.droppedNewest == UInt64(full.count), context)
        #expect(snapshot.evicted == UInt64(other.count + books.evicted.count), context)
        let edges = storm.edges.value
        #expect(edges.wrong == 0 && edges.last == .resume && edges.count > 0, "\(edges)")
        channel.resize(capacity: MixedStorm.maximum)
        for number in 0..<MixedStorm.maximum { #expect(channel.trySend(number).isSent, "whole capacity; \(number)") }
        #expect(channel.count == MixedStorm.maximum, context)
        if overflow == .suspend { #expect(channel.trySend(-1).reason == .full) }
        let isQuiet = channel.core.state.withLock {
            $0.senders.isEmpty && $0.receivers.isEmpty && $0.spill.isEmpty && $0.deadlines.isEmpty && $0.debt == 0
                && !$0.hasSenderSteward && !$0.hasReceiverSteward
        }
        #expect(isQuiet, context)
        print(
            "storm.mixed \(overflow): \(books.operations) operations, \(books.made.count) elements, \(edges.count) edges"
        )
    }
}
