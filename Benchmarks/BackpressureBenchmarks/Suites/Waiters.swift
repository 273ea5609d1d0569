// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Many parked senders: what one cancellation costs among them, and what draining them costs each.
//
// Parking is not timed. A round waits until the channel itself says that all are parked.

enum Waiters {
    /// How many of the parked tasks a round cancels: few enough to leave the queue long.
    private static func cancelled(of waiters: Int) -> Int { min(2000, waiters / 5) }

    static let cancelFloorName = "bare cancellable tasks"
    static let drainFloorName = "bare continuations"

    // MARK: Cancel

    static func cancelRow(waiters: Int) -> Row {
        let cancelled = cancelled(of: waiters)
        return Row(
            name: "channel.waiters.cancel", parameters: Parameters(capacity: 1, waiters: waiters),
            unit: .nanosecondsPerOperation, maximumRounds: waiters > 10_000 ? 7 : 45,
            contenders: [
                Contender(cancelFloorName, floor: true, fixed: cancelled) { operations in
                    let shelf = CancellableShelf(places: waiters)
                    let tasks = (0..<waiters).map { index in Task.detached { await shelf.park(at: index) } }
                    await until { shelf.parkedCount == waiters }
                    let sample = timeCancelling(tasks, count: operations)
                    shelf.resumeAll()
                    for task in tasks { await task.value }
                    return sample
                },
                Contender(
                    OurChannel.name, ours: true, fairness: OurChannel.defaultFairness, fixed: cancelled
                ) { operations in
                    try await cancelOurs(count: operations, of: waiters)
                },
            ])
    }

    private static func cancelOurs(count: Int, of waiters: Int) async throws -> Sample {
        let ours = OurChannel(capacity: 1)
        await ours.send(0)
        let tasks = (1...waiters).map { element in Task.detached { await ours.send(element) } }
        await until { await ours.parkedSenders() == waiters }
        let sample = timeCancelling(tasks, count: count)
        // A task that is in the queue may have been about to fall asleep: it leaves when it runs again.
        var left = await ours.parkedSenders()
        for _ in 0..<2_000 where left > waiters - count {
            try? await Task.sleep(for: .microseconds(500))
            left = await ours.parkedSenders()
        }
        ours.cancel()
        for task in tasks { await task.value }
        guard left == waiters - count else {
            throw HardFailure(text: "cancelled \(count) of \(waiters) parked senders, but \(left) are left")
        }
        return sample
    }

    @inline(never)
    private static func timeCancelling(_ tasks: [Task<Void, Never>], count: Int) -> Sample {
        // Neighbours from the middle of the queue: a walk from either end would show, and the processor's fetching of
        // other people's tasks from memory, which grows with their number whatever they wait for, shows less.
        let first = (tasks.count - count) / 2
        let chosen = Array(tasks[first..<(first + count)])
        let meter = Meter.begin()
        for task in chosen { task.cancel() }
        return meter.end(operations: count)
    }

    // MARK: Drain

    static func drainRow(waiters: Int) -> Row {
        Row(
            name: "channel.waiters.drain", parameters: Parameters(capacity: 1, waiters: waiters),
            unit: .nanosecondsPerOperation, maximumRounds: 7,
            contenders: [
                Contender(drainFloorName, floor: true, fixed: waiters) { try await drainShelf(tasks: $0) },
                Contender(
                    OurChannel.name, ours: true, fairness: OurChannel.defaultFairness, fixed: waiters
                ) {
                    try await drain(OurChannel(capacity: 1), senders: $0)
                },
                Contender(RivalPairs.mutexName, fixed: waiters) {
                    try await drain(MutexChannel<Int>(capacity: 1), senders: $0)
                },
                Contender(RivalPairs.actorName, fixed: waiters) {
                    try await drain(ActorQueue(capacity: 1), senders: $0)
                },
            ])
    }

    /// From the first receive until the last of the senders has ended.
    private static func drain<Channel: ParkingChannel>(_ channel: Channel, senders: Int) async throws -> Sample {
        let (meter, checksum) = await withDiscardingTaskGroup(returning: (Meter, Checksum).self) { group in
            await channel.send(0)
            for element in 1...senders { group.addTask { await channel.send(element) } }
            await until { await channel.parkedSenders() == senders }
            let meter = Meter.begin()
            return (meter, await channel.consume(atMost: senders + 1))
        }
        let sample = meter.end(operations: senders)
        try checksum.verify(elements: senders + 1, in: "drain of \(Channel.self)")
        return sample
    }

    private static func drainShelf(tasks: Int) async throws -> Sample {
        let shelf = ContinuationShelf(places: tasks)
        let meter = await withDiscardingTaskGroup(returning: Meter.self) { group in
            for index in 0..<tasks { group.addTask { await shelf.park(at: index) } }
            await until { shelf.parkedCount == tasks }
            let meter = Meter.begin()
            shelf.resumeAll()
            return meter
        }
        return meter.end(operations: tasks)
    }

    // MARK: Rendezvous

    /// Looks every half millisecond; nothing is timed meanwhile.
    static func until(_ condition: () async -> Bool) async {
        while await !condition() { try? await Task.sleep(for: .microseconds(500)) }
    }
}
