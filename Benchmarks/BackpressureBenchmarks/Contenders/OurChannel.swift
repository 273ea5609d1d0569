// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The library's channel as a contender of the rows that every contender does. Its pairs are in OurPairs.swift.

import Backpressure

struct OurChannel: ParkingChannel {
    static let name = "BoundedChannel"

    let channel: BoundedChannel<Int, Never>

    init(capacity: Int, fairness: Fairness = .default) {
        channel = BoundedChannel(capacity: capacity, fairness: fairness)
    }

    @inline(never)
    func produce(_ range: Range<Int>) async {
        for element in range { _ = await channel.send(element) }
    }

    @inline(never)
    func consume(atMost limit: Int) async -> Checksum {
        var checksum = Checksum()
        while checksum.count < limit, let element = try? await channel.receive() { checksum.add(element) }
        return checksum
    }

    @inline(never)
    func ask(_ count: Int, back: OurChannel) async -> Checksum {
        var checksum = Checksum()
        for trip in 0..<count {
            _ = await channel.send(trip)
            guard let answer = try? await back.channel.receive() else { break }
            checksum.add(answer &- 1)
        }
        return checksum
    }

    @inline(never)
    func answer(back: OurChannel) async -> Checksum {
        var checksum = Checksum()
        while let trip = try? await channel.receive() {
            checksum.add(trip)
            _ = await back.channel.send(trip &+ 1)
        }
        return checksum
    }

    func send(_ element: Int) async { _ = await channel.send(element) }

    func finish() async { channel.finish() }

    func cancel() { channel.cancel() }

    func parkedSenders() async -> Int { channel.snapshot().waitingSenders }

    /// The modes whose rows are both reported: strict order, and the default's (or, were that strict, some) bypass.
    static let fairnessModes: [(label: String, mode: Fairness)] = [
        ("fifo", .fifo), ("eventual", Fairness.default == .fifo ? .eventual(bypass: 1024) : .default),
    ]

    /// The label of the default mode.
    static var defaultFairness: String { Fairness.default == .fifo ? "fifo" : "eventual" }
}
