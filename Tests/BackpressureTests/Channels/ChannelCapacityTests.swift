// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The bound: exact for every capacity, free of charge for a huge one, and refused when it makes no sense (1, 8).

import BackpressureTestSupport
import Testing

@testable import Backpressure

#if canImport(Glibc)
    import Glibc
#endif

@Suite("channel: capacity", .timeLimit(.minutes(10)))
struct ChannelCapacityTests {
    @Test("exactly N fit, in every lap, for every N (1; futures-rs#2998)")
    func everyCapacity_isExact() {
        for capacity in Array(1...33) + [63, 64, 65, 127, 128, 129, 1000, 1023, 1024, 1025] {
            let channel = BoundedChannel<Int, Never>(capacity: capacity)
            var (next, expected) = (0, 0)
            for _ in 0..<3 {
                while channel.trySend(next).isSent { next += 1 }
                #expect(channel.count == capacity && next - expected == capacity)
                for _ in 0..<max(1, capacity - 1) {
                    #expect(channel.tryReceive().take() == expected)
                    expected += 1
                }
            }
        }
    }

    @Test("a sender adds nothing to the bound: N plus producers never fit (1; futures-rs#2998)")
    func manySenders_addNothingToTheBound() {
        let bench = ChannelBench(capacity: 2)
        let tickets = (0..<10).map { bench.send($0) }
        #expect(bench.channel.count == 2 && tickets.count { $0.answer == .sent } == 2)
        #expect(bench.snapshot.depth == 2 && bench.snapshot.waitingSenders == 8)
    }

    @Test("positions grow through many laps without a mistake")
    func positions_throughManyLaps() {
        let size = LaneSize("channel.capacity.laps", plain: 100_000, sanitizer: 20_000, deep: 20_000_000)
        for capacity in [1, 3] {
            let channel = BoundedChannel<Int, Never>(capacity: capacity)
            var mistakes = 0
            for number in 0..<size.count {
                if !channel.trySend(number).isSent || channel.tryReceive().take() != number { mistakes += 1 }
            }
            #expect(mistakes == 0 && channel.snapshot().received == UInt64(size.count))
        }
    }

    #if canImport(Glibc)
        /// In a process of its own: nothing else may add to the memory, and a refusal must not end the other tests.
        @Test("a capacity of 2^32 touches no memory until it is used")
        func hugeCapacity_touchesNoMemory() async {
            // AddressSanitizer's allocator refuses such sizes, and ThreadSanitizer's shadow commits them.
            if Lane.current == .sanitizer {
                print("skipped under a sanitizer: capacity 2^32")
                return
            }
            await #expect(processExitsWith: .success) {
                let before = residentKilobytes()
                let channel = BoundedChannel<Int, Never>(capacity: 1 << 32)
                for number in 0..<1_000 { precondition(channel.trySend(number).isSent) }
                precondition(channel.capacity == 1 << 32 && channel.count == 1_000)
                for number in 0..<1_000 { precondition(channel.tryReceive().take() == number) }
                precondition(channel.snapshot().isConsistent)
                precondition(residentKilobytes() - before < 16 * 1_024, "a huge ring was committed")
            }
        }
    #endif

    @Test("senseless capacities and bounds end the process with a text (8)")
    func senselessParameters_trap() async {
        if Lane.current == .sanitizer { return }
        await #expect(processExitsWith: .failure) { _ = BoundedChannel<Int, Never>(capacity: 0) }
        await #expect(processExitsWith: .failure) { _ = BoundedChannel<Int, Never>(capacity: -1) }
        await #expect(processExitsWith: .failure) { _ = BoundedChannel<Int, Never>(capacity: .max) }
        await #expect(processExitsWith: .failure) { _ = BoundedChannel<Int, Never>(capacity: (1 << 40) + 1) }
        await #expect(processExitsWith: .failure) { _ = Fairness.eventual(bypass: -1) }
        await #expect(processExitsWith: .failure) {
            let channel = BoundedChannel<Int, Never>(capacity: 1)
            _ = channel.trySend(0)
            _ = await channel.send(1, deadline: SuspendingClock().now)
        }
    }
}

#if canImport(Glibc)
    /// The resident memory of this process.
    private func residentKilobytes() -> Int {
        guard let file = fopen("/proc/self/status", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, 256, file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            guard text.hasPrefix("VmRSS:") else { continue }
            return text.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0
        }
        return 0
    }
#endif
