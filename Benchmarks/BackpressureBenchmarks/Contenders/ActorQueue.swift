// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The bounded queue as an actor: what the language suggests first. Same ring, same direct hand-over, unsafe
// continuations; the actor's own scheduling is its lock.

actor ActorQueue: ParkingChannel {
    private let capacity: Int
    private var buffer: RingDeque<Int>
    private var senders = RingDeque<(element: Int, continuation: UnsafeContinuation<Void, Never>)>(minimumCapacity: 4)
    private var receivers = RingDeque<UnsafeContinuation<Int?, Never>>(minimumCapacity: 4)
    private var isFinished = false

    init(capacity: Int) {
        self.capacity = capacity
        buffer = RingDeque(minimumCapacity: capacity)
    }

    func send(_ element: Int) async {
        if let receiver = receivers.popFirst() {
            receiver.resume(returning: element)
        } else if buffer.count < capacity {
            buffer.append(element)
        } else {
            await withUnsafeContinuation { senders.append((element, $0)) }
        }
    }

    func receive() async -> Int? {
        if let element = buffer.popFirst() {
            if let sender = senders.popFirst() {
                buffer.append(sender.element)
                sender.continuation.resume()
            }
            return element
        }
        if isFinished { return nil }
        return await withUnsafeContinuation { receivers.append($0) }
    }

    func finish() async {
        isFinished = true
        while let receiver = receivers.popFirst() { receiver.resume(returning: nil) }
    }

    func parkedSenders() async -> Int { senders.count }

    // MARK: The loops

    @inline(never)
    nonisolated func produce(_ range: Range<Int>) async {
        for element in range { await send(element) }
    }

    @inline(never)
    nonisolated func consume(atMost limit: Int) async -> Checksum {
        var checksum = Checksum()
        while checksum.count < limit, let element = await receive() { checksum.add(element) }
        return checksum
    }

    @inline(never)
    nonisolated func ask(_ count: Int, back: ActorQueue) async -> Checksum {
        var checksum = Checksum()
        for trip in 0..<count {
            await send(trip)
            guard let answer = await back.receive() else { break }
            checksum.add(answer &- 1)
        }
        return checksum
    }

    @inline(never)
    nonisolated func answer(back: ActorQueue) async -> Checksum {
        var checksum = Checksum()
        while let trip = await receive() {
            checksum.add(trip)
            await back.send(trip &+ 1)
        }
        return checksum
    }
}
