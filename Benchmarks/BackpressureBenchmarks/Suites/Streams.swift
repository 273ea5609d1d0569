// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Elements from producers to consumers, as fast as they go: the integers 0, 1, 2, ... split among the producers, added
// up by the consumers.

import Synchronization

enum Streams {
    static func row(_ name: String, capacity: Int, producers: Int, consumers: Int) -> Row {
        var contenders: [Contender] = []
        func add<Channel: IntChannel>(
            _ name: String, ours: Bool = false, floor: Bool = false, fairness: String? = nil,
            _ make: @escaping @Sendable () -> Channel
        ) {
            contenders.append(
                Contender(name, ours: ours, floor: floor, fairness: fairness) { operations in
                    try await stream(through: make(), elements: operations, producers: producers, consumers: consumers)
                })
        }

        if producers == 1, consumers == 1 {
            add("spinning ring", floor: true) { SpinningRing(capacity: capacity) }
            add(OurChannel.name, ours: true, fairness: OurChannel.defaultFairness) {
                OurChannel(capacity: capacity)
            }
        } else {
            for (label, mode) in OurChannel.fairnessModes {
                add(OurChannel.name, ours: true, fairness: label) { OurChannel(capacity: capacity, fairness: mode) }
            }
        }
        add(RivalPairs.mutexName) { MutexChannel<Int>(capacity: capacity) }
        add(RivalPairs.actorName) { ActorQueue(capacity: capacity) }
        if consumers == 1 { add(RivalPairs.streamName) { AsyncStreamChannel(capacity: capacity) } }

        return Row(
            name: name, parameters: Parameters(capacity: capacity, producers: producers, consumers: consumers),
            unit: .operationsPerSecond, contenders: contenders)
    }

    /// The loops are the contender's; this only starts them.
    static func stream<Channel: IntChannel>(
        through channel: Channel, elements: Int, producers: Int, consumers: Int
    ) async throws -> Sample {
        let unfinished = Countdown(producers)
        let meter = Meter.begin()
        let checksum = await withTaskGroup(of: Checksum.self) { group in
            for index in 0..<producers {
                let range = (elements * index / producers)..<(elements * (index + 1) / producers)
                group.addTask {
                    await channel.produce(range)
                    if unfinished.arrive() { await channel.finish() }
                    return Checksum()
                }
            }
            for _ in 0..<consumers {
                group.addTask { await channel.consume(atMost: .max) }
            }
            var total = Checksum()
            for await part in group { total.add(part) }
            return total
        }
        let sample = meter.end(operations: elements)
        try checksum.verify(elements: elements, in: "\(producers) to \(consumers) through \(Channel.self)")
        return sample
    }
}

/// Tells the last of several that it is the last.
final class Countdown: Sendable {
    private let left: Atomic<Int>

    init(_ count: Int) { left = Atomic(count) }

    /// True for the last one.
    func arrive() -> Bool { left.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
}
