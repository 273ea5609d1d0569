// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The suite `hotpath`: what an operation costs, and what many of them cost. This file is its table of contents.

enum HotPath {
    static let name = "hotpath"

    static func rows(quick: Bool) -> [Row] {
        selfChecks + pairs + streams + Batches.rows + Rendezvous.rows + pingPongs + waiters(quick: quick)
            + memory(quick: quick) + Buffers.rows + Semaphores.rows + RateLimiting.rows(quick: quick) + DemandRows.rows
            + OverloadRows.rows + RegistryRows.rows
    }

    // MARK: The harness itself

    static let selfCheckFloor = "selfcheck.floor"
    static let selfCheckAllocations = "selfcheck.allocations"

    private static var selfChecks: [Row] {
        [
            Row(
                name: selfCheckFloor, unit: .nanosecondsPerOperation, isFine: true,
                contenders: [AtomicAdds.floor, AtomicAdds.twin]),
            Row(
                name: selfCheckAllocations, unit: .nanosecondsPerOperation, isFine: true,
                contenders: [AtomicAdds.floor, AtomicAdds.allocatesOnce]),
        ]
    }

    // MARK: Pairs

    private static var pairs: [Row] {
        let placements: [Placement] = [.local, .property, .generic]
        let tryPairs = placements.map { placement in
            Row(
                name: "channel.try.pair", parameters: Parameters(capacity: 1024, placement: placement),
                unit: .nanosecondsPerOperation, isFine: true,
                contenders: [
                    AtomicAdds.floor, OurPairs.tryPairs(placement), RivalPairs.mutexTryPairs(placement),
                ])
        }
        let awaitPairs = placements.map { placement in
            Row(
                name: "channel.await.pair", parameters: Parameters(capacity: 1024, placement: placement),
                unit: .nanosecondsPerOperation, isFine: true,
                contenders: [
                    AtomicAdds.floor, OurPairs.awaitPairs(placement), RivalPairs.mutexAwaitPairs(placement),
                ] + (placement == .local ? [RivalPairs.actorAwaitPairs, RivalPairs.streamAwaitPairs] : []))
        }
        let actorPair = Row(
            name: "channel.await.pair.actor", parameters: Parameters(capacity: 1024, placement: .actor),
            unit: .nanosecondsPerOperation, isFine: true,
            contenders: [
                AtomicAdds.floor, OurPairs.awaitPairs(.actor), RivalPairs.mutexAwaitPairs(.actor),
            ])
        return tryPairs + awaitPairs + [actorPair]
    }

    // MARK: Streams

    private static var streams: [Row] {
        let spsc = [1, 16, 64, 256, 1024].map { Streams.row("channel.spsc", capacity: $0, producers: 1, consumers: 1) }
        let mpsc = [64, 1024].map { Streams.row("channel.mpsc", capacity: $0, producers: 4, consumers: 1) }
        let mpmc = [64, 1024].map { Streams.row("channel.mpmc", capacity: $0, producers: 4, consumers: 4) }
        return spsc + mpsc + mpmc
    }

    // MARK: The rest

    private static var pingPongs: [Row] { [PingPong.row(isBusy: false), PingPong.row(isBusy: true)] }

    private static func waiters(quick: Bool) -> [Row] {
        let many = quick ? 20_000 : 100_000
        return [
            Waiters.cancelRow(waiters: 1_000), Waiters.cancelRow(waiters: many), Waiters.drainRow(waiters: many),
        ]
    }

    private static func memory(quick: Bool) -> [Row] {
        guard Allocations.areCounted else { return [] }
        return [Memory.idleRow, Memory.parkedRow(waiters: quick ? 2_000 : 10_000)]
    }
}
