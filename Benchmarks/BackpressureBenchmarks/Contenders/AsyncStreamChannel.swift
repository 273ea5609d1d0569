// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The standard library's AsyncStream with a bounded buffer. It has no backpressure: a sender that finds it full gets its
// element back and tries again after a yield, which is all one can do. Reported, not gated. It allows one consumer.

struct AsyncStreamChannel: IntChannel {
    private let stream: AsyncStream<Int>
    private let continuation: AsyncStream<Int>.Continuation

    init(capacity: Int) {
        (stream, continuation) = AsyncStream.makeStream(of: Int.self, bufferingPolicy: .bufferingOldest(capacity))
    }

    func send(_ element: Int) async {
        while case .dropped = continuation.yield(element) { await Task.yield() }
    }

    func finish() async { continuation.finish() }

    // MARK: The loops

    @inline(never)
    func produce(_ range: Range<Int>) async {
        for element in range { await send(element) }
    }

    @inline(never)
    func consume(atMost limit: Int) async -> Checksum {
        var iterator = stream.makeAsyncIterator()
        var checksum = Checksum()
        while checksum.count < limit, let element = await iterator.next(isolation: #isolation) {
            checksum.add(element)
        }
        return checksum
    }

    @inline(never)
    func ask(_ count: Int, back: AsyncStreamChannel) async -> Checksum {
        var iterator = back.stream.makeAsyncIterator()
        var checksum = Checksum()
        for trip in 0..<count {
            await send(trip)
            guard let answer = await iterator.next(isolation: #isolation) else { break }
            checksum.add(answer &- 1)
        }
        return checksum
    }

    @inline(never)
    func answer(back: AsyncStreamChannel) async -> Checksum {
        var iterator = stream.makeAsyncIterator()
        var checksum = Checksum()
        while let trip = await iterator.next(isolation: #isolation) {
            checksum.add(trip)
            await back.send(trip &+ 1)
        }
        return checksum
    }
}
