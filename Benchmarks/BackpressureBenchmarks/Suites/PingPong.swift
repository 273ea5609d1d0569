// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Two tasks and two channels of capacity 1: a number goes there and its successor comes back. What it measures is the
// way to sleep and the way to wake. The floor is the same exchange on bare continuations.
//
// The busy row runs it while another thread of this process keeps a core busy: there a channel that looks for long
// before it sleeps pays for it.

enum PingPong {
    static let floorName = "continuation baton"

    static func row(isBusy: Bool) -> Row {
        Row(
            name: isBusy ? "channel.pingpong.busy" : "channel.pingpong",
            parameters: Parameters(capacity: 1, producers: 1, consumers: 1),
            unit: .operationsPerSecond, isBusy: isBusy,
            contenders: [
                Contender(floorName, floor: true) { try await ContinuationBaton().run(roundTrips: $0) },
                Contender(OurChannel.name, ours: true, fairness: OurChannel.defaultFairness) {
                    try await roundTrips($0, there: OurChannel(capacity: 1), back: OurChannel(capacity: 1))
                },
                Contender(RivalPairs.mutexName) {
                    try await roundTrips(
                        $0, there: MutexChannel<Int>(capacity: 1), back: MutexChannel<Int>(capacity: 1))
                },
                Contender(RivalPairs.actorName) {
                    try await roundTrips($0, there: ActorQueue(capacity: 1), back: ActorQueue(capacity: 1))
                },
            ])
    }

    /// The loops are the contender's; this only starts them.
    static func roundTrips<Channel: IntChannel>(
        _ count: Int, there: Channel, back: Channel
    ) async throws -> Sample {
        let meter = Meter.begin()
        let (sent, returned) = await withTaskGroup(of: Checksum.self) { group in
            group.addTask { await there.answer(back: back) }
            let returned = await there.ask(count, back: back)
            await there.finish()
            return (await group.next() ?? Checksum(), returned)
        }
        let sample = meter.end(operations: count)
        try sent.verify(elements: count, in: "ping through \(Channel.self)")
        try returned.verify(elements: count, in: "pong through \(Channel.self)")
        return sample
    }
}
