// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The measured pairs of the channels with rules: one send and one receive in one task, capacity 1024, nobody else there.
//
// Written out against each type, as in OurPairs.swift, and for the same reason.

import Backpressure

private let pairCapacity = 1024

enum BufferPairs {
    static let buffered = Contender("BufferedChannel", ours: true) { try bufferedPairs($0) }
    static let priority = Contender("PriorityChannel", ours: true) { try priorityPairs($0, isCrowded: false) }
    static let crowded = Contender("PriorityChannel", ours: true) { try priorityPairs($0, isCrowded: true) }
}

@inline(never)
private func bufferedPairs(_ operations: Int) throws -> Sample {
    let channel = BufferedChannel<Int, Never>(capacity: pairCapacity)
    var checksum = Checksum()
    let meter = Meter.begin()
    for element in 0..<operations {
        guard case .sent = channel.trySend(element) else { break }
        guard case .received(let received) = channel.tryReceive() else { break }
        checksum.add(received)
    }
    let sample = meter.end(operations: operations)
    try checksum.verify(elements: operations, in: "buffered.pair")
    return sample
}

/// Into lanes in turn.
///
/// When `isCrowded`, each lane has an element more all the time, so every receive has to choose.
@inline(never)
private func priorityPairs(_ operations: Int, isCrowded: Bool) throws -> Sample {
    let lanes = (0..<3).map { _ in PriorityLane(capacity: pairCapacity) }
    let channel = PriorityChannel<Int, Never>(capacity: pairCapacity, lanes: lanes)
    let more = isCrowded ? 3 : 0
    for lane in 0..<more { _ = channel.trySend(operations + lane, lane: lane) }
    var checksum = Checksum()
    var lane = 0
    let meter = Meter.begin()
    for element in 0..<operations {
        guard case .sent = channel.trySend(element, lane: lane) else { break }
        guard case .received(let received) = channel.tryReceive() else { break }
        checksum.add(received)
        lane = lane == 2 ? 0 : lane &+ 1
    }
    let sample = meter.end(operations: operations)
    while case .received(let received) = channel.tryReceive() { checksum.add(received) }
    try checksum.verify(elements: operations + more, in: "priority.pair")
    return sample
}
