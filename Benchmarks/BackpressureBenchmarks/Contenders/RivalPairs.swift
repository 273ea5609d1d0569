// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The same pairs for the rivals.
//
// Mutex + deque gets its loops written out like ours, because a gate divides by them. The others are far from any
// bound and use the loop of the ping-pong.

private let pairCapacity = 1024

enum RivalPairs {
    static let mutexName = "Mutex + deque"
    static let actorName = "actor queue"
    static let streamName = "AsyncStream + retry"

    static func mutexTryPairs(_ placement: Placement) -> Contender {
        Contender(mutexName) { operations in
            switch placement {
            case .local: try tryPairsLocal(operations)
            case .property, .actor: try PairOwner().tryPairs(operations)
            case .generic: try tryPairsGeneric(MutexChannel<Int>(capacity: pairCapacity), operations)
            }
        }
    }

    static func mutexAwaitPairs(_ placement: Placement) -> Contender {
        Contender(mutexName) { operations in
            switch placement {
            case .local: try await awaitPairsLocal(operations)
            case .property: try await PairOwner().awaitPairs(operations)
            case .generic: try await awaitPairsGeneric(MutexChannel<Int>(capacity: pairCapacity), operations)
            case .actor: try await PairActor().awaitPairs(operations)
            }
        }
    }

    static let actorAwaitPairs = Contender(actorName) { operations in
        try await awaitPairs(of: ActorQueue(capacity: pairCapacity), operations)
    }

    static let streamAwaitPairs = Contender(streamName) { operations in
        try await awaitPairs(of: AsyncStreamChannel(capacity: pairCapacity), operations)
    }
}

/// A ping-pong with oneself through one channel is a row of pairs.
private func awaitPairs<Channel: IntChannel>(of channel: Channel, _ operations: Int) async throws -> Sample {
    let meter = Meter.begin()
    var checksum = await channel.ask(operations, back: channel)
    let sample = meter.end(operations: operations)
    // The loop takes 1 off what came back, for the sake of a real ping-pong.
    checksum.sum &+= operations
    try checksum.verify(elements: operations, in: "await.pair \(Channel.self)")
    return sample
}

// MARK: - Mutex + deque

@inline(never)
private func tryPairsLocal(_ operations: Int) throws -> Sample {
    let channel = MutexChannel<Int>(capacity: pairCapacity)
    var checksum = Checksum()
    let meter = Meter.begin()
    for element in 0..<operations {
        guard channel.trySend(element), let received = channel.tryReceive() else { break }
        checksum.add(received)
    }
    let sample = meter.end(operations: operations)
    try checksum.verify(elements: operations, in: "try.pair Mutex + deque")
    return sample
}

@inline(never)
private func awaitPairsLocal(_ operations: Int) async throws -> Sample {
    let channel = MutexChannel<Int>(capacity: pairCapacity)
    var checksum = Checksum()
    let meter = Meter.begin()
    for element in 0..<operations {
        await channel.send(element)
        guard let received = await channel.receive() else { break }
        checksum.add(received)
    }
    let sample = meter.end(operations: operations)
    try checksum.verify(elements: operations, in: "await.pair Mutex + deque")
    return sample
}

private final class PairOwner: Sendable {
    let channel = MutexChannel<Int>(capacity: pairCapacity)

    @inline(never)
    func tryPairs(_ operations: Int) throws -> Sample {
        var checksum = Checksum()
        let meter = Meter.begin()
        for element in 0..<operations {
            guard channel.trySend(element), let received = channel.tryReceive() else { break }
            checksum.add(received)
        }
        let sample = meter.end(operations: operations)
        try checksum.verify(elements: operations, in: "try.pair property Mutex + deque")
        return sample
    }

    @inline(never)
    func awaitPairs(_ operations: Int) async throws -> Sample {
        var checksum = Checksum()
        let meter = Meter.begin()
        for element in 0..<operations {
            await channel.send(element)
            guard let received = await channel.receive() else { break }
            checksum.add(received)
        }
        let sample = meter.end(operations: operations)
        try checksum.verify(elements: operations, in: "await.pair property Mutex + deque")
        return sample
    }
}

@inline(never)
private func tryPairsGeneric<Element: FixedWidthInteger & Sendable>(
    _ channel: MutexChannel<Element>, _ operations: Int
) throws -> Sample {
    var checksum = Checksum()
    let meter = Meter.begin()
    for element in 0..<operations {
        guard channel.trySend(Element(truncatingIfNeeded: element)), let received = channel.tryReceive() else { break }
        checksum.add(Int(truncatingIfNeeded: received))
    }
    let sample = meter.end(operations: operations)
    try checksum.verify(elements: operations, in: "try.pair generic Mutex + deque")
    return sample
}

@inline(never)
private func awaitPairsGeneric<Element: FixedWidthInteger & Sendable>(
    _ channel: MutexChannel<Element>, _ operations: Int
) async throws -> Sample {
    var checksum = Checksum()
    let meter = Meter.begin()
    for element in 0..<operations {
        await channel.send(Element(truncatingIfNeeded: element))
        guard let received = await channel.receive() else { break }
        checksum.add(Int(truncatingIfNeeded: received))
    }
    let sample = meter.end(operations: operations)
    try checksum.verify(elements: operations, in: "await.pair generic Mutex + deque")
    return sample
}

private actor PairActor {
    private let channel = MutexChannel<Int>(capacity: pairCapacity)

    func awaitPairs(_ operations: Int) async throws -> Sample {
        let channel = channel
        var checksum = Checksum()
        let meter = Meter.begin()
        for element in 0..<operations {
            await channel.send(element)
            guard let received = await channel.receive() else { break }
            checksum.add(received)
        }
        let sample = meter.end(operations: operations)
        try checksum.verify(elements: operations, in: "await.pair actor Mutex + deque")
        return sample
    }
}
