// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Storms of tasks: every kind of send and receive, timeouts on a clock that is moved, cancellations, and an end.

import BackpressureTestKit
import BackpressureTestSupport
import Testing

@testable import Backpressure

@Suite("storms of tasks", .serialized, .timeLimit(.minutes(10)))
struct ChannelTaskStormTests {
    @Test("mixed operations of many tasks", arguments: StormConfiguration.all)
    func mixedOperations(configuration: StormConfiguration) async {
        let size = LaneSize("storm.tasks \(configuration.testDescription)", plain: 300, sanitizer: 60, deep: 60_000)
        for seed in 0..<UInt64(2) {
            let clock = ManualClock()
            let storm = Storm(configuration, clock: clock)
            let mover = Task {
                while !Task.isCancelled {
                    clock.advance(by: .milliseconds(400))
                    storm.sample()
                    await Task.yield()
                }
            }
            let consumers = (0..<3).map { index in
                Task { await consume(storm, SplitMix64(seed: seed &* 100 &+ UInt64(50 + index))) }
            }
            await withTaskGroup(of: Void.self) { group in
                for producer in 0..<4 {
                    group.addTask {
                        await produce(storm, producer, size.count, SplitMix64(seed: seed &* 100 &+ UInt64(producer)))
                    }
                }
            }
            storm.end()
            // One seed ends by `finish`, the other leaves the channel open and cancels those who wait.
            if seed == 0 { storm.channel.finish() } else { for consumer in consumers { consumer.cancel() } }
            for consumer in consumers { await consumer.value }
            mover.cancel()
            await mover.value
            storm.check(seed)
        }
    }
}

private func produce(_ storm: Storm, _ producer: Int, _ count: Int, _ seeded: SplitMix64) async {
    var random = seeded
    var account = StormAccount()
    let channel = storm.channel
    for number in 0..<count {
        let value = StormValue(producer: producer, number: number)
        switch random.next(upperBound: UInt64(8)) {
        case 0: account.book(channel.trySend(value), value)
        case 1: account.book(await channel.send(value, timeout: .zero), value)
        case 2: account.book(await channel.send(value, timeout: .seconds(1)), value)
        case 3:
            let task = Task { await channel.send(value) }
            if random.next() & 1 == 0 { await Task.yield() }
            task.cancel()
            account.book(await task.value, value)
        default: account.book(await channel.send(value), value)
        }
    }
    storm.hand(in: account)
}

private func consume(_ storm: Storm, _ seeded: SplitMix64) async {
    var random = seeded
    var account = StormAccount()
    let channel = storm.channel
    var iterator = channel.makeAsyncIterator()
    while !Task.isCancelled {
        var element: StormValue?
        switch random.next(upperBound: UInt64(8)) {
        case 0:
            element = channel.tryReceive().take()
            if element == nil { await Task.yield() }
        case 1: element = (try? await channel.receive(timeout: .seconds(1))) ?? nil
        case 2:
            let task = Task { (try? await channel.receive()) ?? nil }
            if random.next() & 1 == 0 { await Task.yield() }
            task.cancel()
            element = await task.value
        case 3: element = await iterator.next()
        default: element = (try? await channel.receive()) ?? nil
        }
        if let element {
            account.received.append(element)
        } else if channel.isClosed, channel.count == 0 {
            break
        }
    }
    storm.hand(in: account)
}
