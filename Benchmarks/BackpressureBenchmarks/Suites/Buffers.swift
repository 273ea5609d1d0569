// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The channels that decide by cost, class, age or lane: what a pair of operations costs under their one lock.

enum Buffers {
    static let bufferedName = "channel.buffered.pair"
    static let priorityName = "priority.try.pair"
    /// Elements in all three lanes all the time: reported, without a bound.
    static let crowdedName = "priority.try.pair.crowded"

    static var rows: [Row] {
        [
            row(bufferedName, BufferPairs.buffered), row(priorityName, BufferPairs.priority),
            row(crowdedName, BufferPairs.crowded),
        ]
    }

    private static func row(_ name: String, _ contender: Contender) -> Row {
        Row(
            name: name, parameters: Parameters(capacity: 1024, placement: .local), unit: .nanosecondsPerOperation,
            isFine: true, contenders: [AtomicAdds.floor, contender, RivalPairs.mutexTryPairs(.local)])
    }
}

// MARK: - Gates

extension Gates {
    mutating func addBuffers() {
        for name in [Buffers.bufferedName, Buffers.priorityName] {
            for result in ours(name) {
                if let ratio = result.ratioToFloor { gates.append(Gate("\(name), x floor", ratio, atMost: 3)) }
                if let allocations = result.allocationsPerOperation {
                    let rounded = (allocations * 1000).rounded() / 1000
                    gates.append(Gate("\(name), allocations", rounded, atMost: 0, digits: 3))
                }
            }
        }
    }
}
