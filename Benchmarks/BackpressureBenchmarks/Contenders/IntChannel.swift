// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the workloads need of a contender, so that every contender does the same work.
//
// The requirements are whole loops, and each contender writes them out against its own type. A requirement per operation
// would not do: an async call through a protocol's witness checks the executor when it returns, at 20 ns a call, and it
// still does so when the optimiser has specialised and inlined everything else away (Swift 6.3.1). No user of a channel
// pays that, for no user calls it through a protocol of ours.

/// A channel of integers with room for a fixed number of them.
protocol IntChannel: Sendable {
    /// Sends the elements of `range`, one after the other.
    func produce(_ range: Range<Int>) async

    /// Receives until the channel has finished, or so many elements.
    func consume(atMost limit: Int) async -> Checksum

    /// The one side of a ping-pong: sends 0, 1, ... through this channel and awaits the successor of each from `back`.
    func ask(_ count: Int, back: Self) async -> Checksum

    /// The other side: receives from this channel, and answers through `back`, until this channel has finished.
    func answer(back: Self) async -> Checksum

    /// Sends one element; for the workloads in which a task sends nothing else.
    func send(_ element: Int) async

    /// No more elements; what is buffered is still delivered.
    func finish() async
}

/// A channel that can say how many senders it has parked.
protocol ParkingChannel: IntChannel {
    func parkedSenders() async -> Int
}
