// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Storms of the synchronous operations from threads of the system, with a thread that looks on.

import BackpressureTestSupport
import Testing

@testable import Backpressure

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

@Suite("storms of threads", .serialized, .timeLimit(.minutes(10)))
struct ChannelThreadStormTests {
    @Test("trySend, tryReceive, count and snapshot from threads", arguments: StormConfiguration.all)
    func tryOperations_fromThreads(configuration: StormConfiguration) {
        let size = LaneSize(
            "storm.threads \(configuration.testDescription)", plain: 2_000, sanitizer: 400, deep: 400_000)
        let seed = UInt64(configuration.capacity) &* 31 &+ configuration.fairness.bypass
        let storm = Storm(configuration)
        let finished = Shared(0)
        Threads.run(6) { index in
            var account = StormAccount()
            var random = SplitMix64(seed: seed &+ UInt64(index))
            switch index {
            case 0..<3:
                for number in 0..<size.count {
                    let value = StormValue(producer: index, number: number)
                    account.book(storm.channel.trySend(value), value)
                    if random.next() & 15 == 0 { sched_yield() }
                }
                if finished.update({
                    $0 += 1; return $0
                }) == 3 {
                    storm.end()
                }
            case 3..<5:
                var over = false
                while true {
                    if let value = storm.channel.tryReceive().take() {
                        account.received.append(value)
                    } else if over {
                        break
                    } else {
                        over = storm.isOver
                        sched_yield()
                    }
                }
            default:
                while !storm.isOver {
                    storm.sample()
                    for _ in 0..<4 { sched_yield() }
                }
            }
            storm.hand(in: account)
        }
        storm.check(seed)
    }

    @Test("close from a thread, in the middle of it all", arguments: StormConfiguration.all)
    func close_fromThreads(configuration: StormConfiguration) {
        let size = LaneSize("storm.close \(configuration.testDescription)", plain: 20, sanitizer: 6, deep: 5_000)
        for round in 0..<UInt64(size.count) {
            let storm = Storm(configuration)
            Threads.run(4) { index in
                var account = StormAccount()
                var random = SplitMix64(seed: round &* 7 &+ UInt64(index))
                switch index {
                case 0, 1:
                    for number in 0..<40 {
                        let value = StormValue(producer: index, number: number)
                        account.book(storm.channel.trySend(value), value)
                    }
                case 2:
                    for _ in 0..<40 {
                        if let value = storm.channel.tryReceive().take() { account.received.append(value) }
                    }
                default:
                    for _ in 0..<random.next(upperBound: UInt64(60)) { sched_yield() }
                    if round % 2 == 0 { storm.channel.finish() } else { storm.channel.cancel() }
                    storm.sample()
                }
                storm.hand(in: account)
            }
            storm.check(round)
        }
    }
}
