// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Bytes, as malloc gives them out (usable size, without malloc's own 8-byte header): of an idle channel, and of a parked
// sender beyond what any parked Swift task takes.

enum Memory {
    // MARK: Idle

    static var idleRow: Row {
        Row(
            name: "channel.idle.bytes", parameters: Parameters(capacity: 16), unit: .bytes, maximumRounds: 3,
            contenders: [
                Contender(OurChannel.name, ours: true, fairness: OurChannel.defaultFairness, fixed: 1) { _ in
                    bytesOfEach { OurChannel(capacity: 16) }
                },
                Contender(RivalPairs.mutexName, fixed: 1) { _ in bytesOfEach { MutexChannel<Int>(capacity: 16) } },
                Contender(RivalPairs.actorName, fixed: 1) { _ in bytesOfEach { ActorQueue(capacity: 16) } },
                Contender(RivalPairs.streamName, fixed: 1) { _ in bytesOfEach { AsyncStreamChannel(capacity: 16) } },
            ])
    }

    private static func bytesOfEach<Channel: IntChannel>(_ make: () -> Channel) -> Sample {
        let count = 256
        // The first one pays for metadata that is made once.
        var channels = [make()]
        channels.reserveCapacity(count + 1)
        Allocations.startCounting()
        let before = Allocations.liveBytes
        for _ in 0..<count { channels.append(make()) }
        let after = Allocations.liveBytes
        Allocations.stopCounting()
        return withExtendedLifetime(channels) { .bytes(Double(after - before) / Double(count)) }
    }

    // MARK: Parked

    static func parkedRow(waiters: Int) -> Row {
        Row(
            name: "channel.parked.bytes", parameters: Parameters(capacity: 1, waiters: waiters), unit: .bytes,
            maximumRounds: 3, isBeyondFloor: true,
            contenders: [
                Contender("bare parked task", floor: true, fixed: waiters) { try await shelfBytes(tasks: $0) },
                Contender(
                    OurChannel.name, ours: true, fairness: OurChannel.defaultFairness, fixed: waiters
                ) {
                    try await senderBytes(OurChannel(capacity: 1), senders: $0)
                },
                Contender(RivalPairs.mutexName, fixed: waiters) {
                    try await senderBytes(MutexChannel<Int>(capacity: 1), senders: $0)
                },
                Contender(RivalPairs.actorName, fixed: waiters) {
                    try await senderBytes(ActorQueue(capacity: 1), senders: $0)
                },
            ])
    }

    private static func senderBytes<Channel: ParkingChannel>(_ channel: Channel, senders: Int) async throws -> Sample {
        await channel.send(0)
        return try await withDiscardingTaskGroup(returning: Result<Sample, HardFailure>.self) { group in
            let bytes = await bytesOfEachParked(senders) { element in
                group.addTask { await channel.send(element + 1) }
            } isParked: {
                await channel.parkedSenders() == senders
            }
            let checksum = await channel.consume(atMost: senders + 1)
            return Result { () throws(HardFailure) in
                try checksum.verify(elements: senders + 1, in: "parked bytes of \(Channel.self)")
                return .bytes(bytes)
            }
        }.get()
    }

    private static func shelfBytes(tasks: Int) async throws -> Sample {
        let shelf = ContinuationShelf(places: tasks)
        return await withDiscardingTaskGroup(returning: Sample.self) { group in
            let bytes = await bytesOfEachParked(tasks) { index in
                group.addTask { await shelf.park(at: index) }
            } isParked: {
                shelf.parkedCount == tasks
            }
            shelf.resumeAll()
            return .bytes(bytes)
        }
    }

    private static func bytesOfEachParked(
        _ count: Int, start: (Int) -> Void, isParked: () async -> Bool
    ) async -> Double {
        Allocations.startCounting()
        let before = Allocations.liveBytes
        for index in 0..<count { start(index) }
        await Waiters.until(isParked)
        let after = Allocations.liveBytes
        Allocations.stopCounting()
        return Double(after - before) / Double(count)
    }
}
