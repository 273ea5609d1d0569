// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Sixty-four elements at a time against one at a time, through the same channel; and room that is reserved first.

import Backpressure

enum Batches {
    static let streamName = "channel.spsc.batch"
    static let reserveName = "channel.reserve.pair"
    static let singleName = "BoundedChannel, one by one"
    private static let batch = 64
    private static let capacity = 1024

    static var rows: [Row] { [stream, reserve] }

    private static var stream: Row {
        Row(
            name: streamName, parameters: Parameters(capacity: capacity, producers: 1, consumers: 1),
            unit: .operationsPerSecond,
            contenders: [
                Contender("BoundedChannel, 64 at a time", ours: true, fairness: OurChannel.defaultFairness) {
                    try await run($0, produce: produceBatches, consume: consumeBatches)
                },
                Contender(singleName) { operations in
                    try await run(operations) { channel, count in
                        for element in 0..<count { _ = await channel.send(element) }
                    } consume: { channel in
                        var checksum = Checksum()
                        while let element = try? await channel.receive() { checksum.add(element) }
                        return checksum
                    }
                },
            ])
    }

    private static func run(
        _ elements: Int, produce: @escaping @Sendable (BoundedChannel<Int, Never>, Int) async -> Void,
        consume: @escaping @Sendable (BoundedChannel<Int, Never>) async -> Checksum
    ) async throws -> Sample {
        let channel = BoundedChannel<Int, Never>(capacity: capacity)
        let meter = Meter.begin()
        let checksum = await withTaskGroup(of: Checksum.self) { group in
            group.addTask {
                await produce(channel, elements)
                channel.finish()
                return Checksum()
            }
            group.addTask { await consume(channel) }
            var total = Checksum()
            for await part in group { total.add(part) }
            return total
        }
        let sample = meter.end(operations: elements)
        try checksum.verify(elements: elements, in: streamName)
        return sample
    }

    @Sendable
    private static func produceBatches(_ channel: BoundedChannel<Int, Never>, _ count: Int) async {
        var next = 0
        while next < count {
            let end = min(next + batch, count)
            _ = await channel.send(contentsOf: next..<end)
            next = end
        }
    }

    @Sendable
    private static func consumeBatches(_ channel: BoundedChannel<Int, Never>) async -> Checksum {
        var checksum = Checksum()
        var buffer: [Int] = []
        buffer.reserveCapacity(batch)
        while let count = try? await channel.receive(into: &buffer, upTo: batch), count > 0 {
            for element in buffer { checksum.add(element) }
            buffer.removeAll(keepingCapacity: true)
        }
        return checksum
    }

    // MARK: Reserved room

    private static var reserve: Row {
        Row(
            name: reserveName, parameters: Parameters(capacity: capacity, placement: .local),
            unit: .nanosecondsPerOperation, isFine: true,
            contenders: [AtomicAdds.floor, Contender("BoundedChannel", ours: true, run: reservePairs)])
    }

    /// Reserve, fill, receive, one after the other: three turns with the lock.
    @Sendable
    private static func reservePairs(_ operations: Int) async throws -> Sample {
        let channel = BoundedChannel<Int, Never>(capacity: capacity)
        var checksum = Checksum()
        let meter = Meter.begin()
        for element in 0..<operations {
            guard let room = try? channel.tryReserve() else { break }
            room.send(element)
            guard case .received(let received) = channel.tryReceive() else { break }
            checksum.add(received)
        }
        let sample = meter.end(operations: operations)
        try checksum.verify(elements: operations, in: reserveName)
        return sample
    }
}

extension Gates {
    mutating func addBatches() {
        let rows = rows(Batches.streamName)
        guard let batched = rows.first(where: \.isOurs),
            let single = rows.first(where: { $0.contender == Batches.singleName })
        else { return }
        let ratio = batched.statistics.median / single.statistics.median
        gates.append(Gate("\(Batches.streamName), x one by one", ratio, atLeast: 2))
    }
}
