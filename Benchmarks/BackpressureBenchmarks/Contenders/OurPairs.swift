// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The measured pairs of the library's channel: one send and one receive in one task, capacity 1024, nobody else there.
//
// The loops are written out against the channel's type, once per placement, because what is measured is what a user's
// module compiles: its `@inlinable` fast path inside the user's loop. "generic" is a function over the element type,
// never inlined into its caller; the optimiser may specialise it, as it may in a user's module.

import Backpressure

private let pairCapacity = 1024

/// The pairs of each placement, as contenders.
enum OurPairs {
    static func tryPairs(_ placement: Placement) -> Contender {
        Contender(OurChannel.name, ours: true, fairness: OurChannel.defaultFairness) { operations in
            switch placement {
            case .local: try tryPairsLocal(operations)
            case .property, .actor: try PairOwner().tryPairs(operations)
            case .generic: try tryPairsGeneric(BoundedChannel<Int, Never>(capacity: pairCapacity), operations)
            }
        }
    }

    static func awaitPairs(_ placement: Placement) -> Contender {
        Contender(OurChannel.name, ours: true, fairness: OurChannel.defaultFairness) { operations in
            switch placement {
            case .local: try await awaitPairsLocal(operations)
            case .property: try await PairOwner().awaitPairs(operations)
            case .generic:
                try await awaitPairsGeneric(BoundedChannel<Int, Never>(capacity: pairCapacity), operations)
            case .actor: try await PairActor().awaitPairs(operations)
            }
        }
    }
}

// MARK: - Local

@inline(never)
private func tryPairsLocal(_ operations: Int) throws -> Sample {
    let channel = BoundedChannel<Int, Never>(capacity: pairCapacity)
    var checksum = Checksum()
    let meter = Meter.begin()
    for element in 0..<operations {
        guard case .sent = channel.trySend(element) else { break }
        guard case .received(let received) = channel.tryReceive() else { break }
        checksum.add(received)
    }
    let sample = meter.end(operations: operations)
    try checksum.verify(elements: operations, in: "try.pair local")
    return sample
}

@inline(never)
private func awaitPairsLocal(_ operations: Int) async throws -> Sample {
    let channel = BoundedChannel<Int, Never>(capacity: pairCapacity)
    var checksum = Checksum()
    let meter = Meter.begin()
    for element in 0..<operations {
        guard case .sent = await channel.send(element) else { break }
        guard let received = try await channel.receive() else { break }
        checksum.add(received)
    }
    let sample = meter.end(operations: operations)
    try checksum.verify(elements: operations, in: "await.pair local")
    return sample
}

// MARK: - A property of a class

private final class PairOwner: Sendable {
    let channel = BoundedChannel<Int, Never>(capacity: pairCapacity)

    @inline(never)
    func tryPairs(_ operations: Int) throws -> Sample {
        var checksum = Checksum()
        let meter = Meter.begin()
        for element in 0..<operations {
            guard case .sent = channel.trySend(element) else { break }
            guard case .received(let received) = channel.tryReceive() else { break }
            checksum.add(received)
        }
        let sample = meter.end(operations: operations)
        try checksum.verify(elements: operations, in: "try.pair property")
        return sample
    }

    @inline(never)
    func awaitPairs(_ operations: Int) async throws -> Sample {
        var checksum = Checksum()
        let meter = Meter.begin()
        for element in 0..<operations {
            guard case .sent = await channel.send(element) else { break }
            guard let received = try await channel.receive() else { break }
            checksum.add(received)
        }
        let sample = meter.end(operations: operations)
        try checksum.verify(elements: operations, in: "await.pair property")
        return sample
    }
}

// MARK: - Generic over the element

@inline(never)
private func tryPairsGeneric<Element: FixedWidthInteger & Sendable>(
    _ channel: BoundedChannel<Element, Never>, _ operations: Int
) throws -> Sample {
    var checksum = Checksum()
    let meter = Meter.begin()
    for element in 0..<operations {
        guard case .sent = channel.trySend(Element(truncatingIfNeeded: element)) else { break }
        guard case .received(let received) = channel.tryReceive() else { break }
        checksum.add(Int(truncatingIfNeeded: received))
    }
    let sample = meter.end(operations: operations)
    try checksum.verify(elements: operations, in: "try.pair generic")
    return sample
}

@inline(never)
private func awaitPairsGeneric<Element: FixedWidthInteger & Sendable>(
    _ channel: BoundedChannel<Element, Never>, _ operations: Int
) async throws -> Sample {
    var checksum = Checksum()
    let meter = Meter.begin()
    for element in 0..<operations {
        guard case .sent = await channel.send(Element(truncatingIfNeeded: element)) else { break }
        guard let received = try await channel.receive() else { break }
        checksum.add(Int(truncatingIfNeeded: received))
    }
    let sample = meter.end(operations: operations)
    try checksum.verify(elements: operations, in: "await.pair generic")
    return sample
}

// MARK: - From an actor

private actor PairActor {
    private let channel = BoundedChannel<Int, Never>(capacity: pairCapacity)

    func awaitPairs(_ operations: Int) async throws -> Sample {
        let channel = channel
        var checksum = Checksum()
        let meter = Meter.begin()
        for element in 0..<operations {
            guard case .sent = await channel.send(element) else { break }
            guard let received = try await channel.receive() else { break }
            checksum.add(received)
        }
        let sample = meter.end(operations: operations)
        try checksum.verify(elements: operations, in: "await.pair actor")
        return sample
    }
}
