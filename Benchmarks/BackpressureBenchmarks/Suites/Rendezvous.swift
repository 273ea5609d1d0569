// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Elements from producers to consumers that must meet: nothing is in between.

enum Rendezvous {
    static let name = "channel.rendezvous"
    static let mutexName = "Mutex + continuations"
    static let actorName = "actor hand-over"

    static var rows: [Row] { [row(producers: 1, consumers: 1), row(producers: 4, consumers: 4)] }

    private static func row(producers: Int, consumers: Int) -> Row {
        Row(
            name: name, parameters: Parameters(capacity: 0, producers: producers, consumers: consumers),
            unit: .operationsPerSecond,
            contenders: [
                contender("RendezvousChannel", ours: true, producers, consumers) { OurRendezvous() },
                contender(mutexName, producers, consumers) { MutexRendezvous() },
                contender(actorName, producers, consumers) { ActorRendezvous() },
            ])
    }

    static func contender<Channel: IntRendezvous>(
        _ name: String, ours: Bool = false, _ producers: Int, _ consumers: Int,
        _ make: @escaping @Sendable () -> Channel
    ) -> Contender {
        Contender(name, ours: ours) { elements in
            try await stream(through: make(), elements: elements, producers: producers, consumers: consumers)
        }
    }

    /// The loops are the contender's; this only starts them.
    private static func stream<Channel: IntRendezvous>(
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
                group.addTask { await channel.consume() }
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

extension Gates {
    /// Against the better of the two rivals.
    mutating func addRendezvous() {
        for result in ours(Rendezvous.name) {
            let rivals = [Rendezvous.mutexName, Rendezvous.actorName].compactMap { twin(of: result, named: $0) }
            guard let best = rivals.max(by: { $0.statistics.median < $1.statistics.median }) else { continue }
            let producers = result.parameters.producers ?? 0
            let ratio = result.statistics.median / best.statistics.median
            gates.append(
                Gate("\(Rendezvous.name) \(producers), x \(best.contender)", ratio, atLeast: producers == 1 ? 2 : 1))
        }
    }
}
