// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import BackpressureTestSupport
import Testing

@Suite("Test support", .timeLimit(.minutes(10)))
struct TestSupportTests {
    @Test("threads get their indices and have ended when run returns", arguments: [nil, 8 << 20])
    func threads(stackSize: Int?) {
        nonisolated(unsafe) let cells = UnsafeMutableBufferPointer<Int>.allocate(capacity: 8)
        defer { cells.deallocate() }
        cells.initialize(repeating: -1)
        Threads.run(cells.count, stackSize: stackSize) { index in cells[index] = index }
        #expect(Array(cells) == Array(0..<8))
        Threads.run(0) { _ in Issue.record("no thread was asked for") }
    }

    @Test("SplitMix64 gives the published numbers")
    func splitMix() {
        var random = SplitMix64(seed: 1_234_567)
        let numbers = (0..<3).map { _ in random.next() }
        #expect(numbers == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
    }

    @Test("a lane's size is the one for this process")
    func laneSize() {
        let size = LaneSize("testSupport.laneSize", plain: 1, sanitizer: 2, deep: 3)
        let isSanitized = Lane.isThreadSanitized || Lane.isAddressSanitized
        #expect(isSanitized ? size.count == 2 : size.count != 2)
    }
}
