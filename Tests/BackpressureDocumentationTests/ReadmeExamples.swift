// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples of README.md.

import Backpressure
import Testing

@Suite("Examples of README.md", .timeLimit(.minutes(10)))
struct ReadmeExamples {
    @Test("hand-over through a bounded channel")
    func handOver() async throws {
        let channel = BoundedChannel<Int, Never>(capacity: 8)

        let producer = Task {
            defer { channel.finish() }
            for number in 1...1_000 {
                try await channel.sendOrThrow(number)  // waits while 8 numbers are queued
            }
        }

        var total = 0
        for await number in channel {
            total += number
        }
        try await producer.value
        print(total)  // 500500

        #expect(total == 500_500)
        #expect(channel.snapshot().peakDepth <= 8)
    }
}
