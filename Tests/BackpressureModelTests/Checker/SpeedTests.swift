// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Prints how fast the checker is; asserts nothing about time.

import ModelChecker
import Testing

@Suite struct SpeedTests {
    @Test func printExecutionsPerSecond() {
        let adds = { @Sendable (words: Words) in for _ in 0..<4 { _ = words.add(0, 1) } }
        let exploration = Explorer.explore(
            model("3 threads x 4 adds", [adds, adds, adds]) { ModelRuntime.expect($0.base[0] == 12, "lost") })
        #expect(exploration.exhausted && exploration.executions == 34_650, "\(exploration)")
        print(exploration)

        let spin = { @Sendable (words: Words) in
            while !words.compareExchange(0, 0, 1).exchanged { ModelRuntime.pause() }
            words.write(1, words.read(1) + 1)
            words.store(0, 0)
        }
        print(Explorer.explore(model("spin lock, 4 threads", Array(repeating: spin, count: 4))))

        let locked = { @Sendable (words: Words) in
            for _ in 0..<2 { words.withLock(0) { words.write(1, words.read(1) + 1) } }
        }
        print(Explorer.explore(model("lock, 3 threads x 2", [locked, locked, locked])))
    }
}
