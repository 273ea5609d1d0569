// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Channels without a buffer: the library's, and the two that one writes by hand. The rivals hand over directly (whoever
// comes second moves the element and resumes the first), use unsafe continuations and resume outside the lock. They
// have no cancellation, no timeout and no answer to a close of waiting senders: leaving those out makes them faster than
// what they stand for.

import Backpressure
import Synchronization

/// A rendezvous of integers; the loops are whole, as those of `IntChannel` and for its reason.
protocol IntRendezvous: Sendable {
    /// Sends the elements of `range`, one after the other.
    func produce(_ range: Range<Int>) async
    /// Receives until the channel has finished.
    func consume() async -> Checksum
    func finish() async
}

struct OurRendezvous: IntRendezvous {
    let channel = RendezvousChannel<Int, Never>()

    @inline(never)
    func produce(_ range: Range<Int>) async {
        for element in range { _ = await channel.send(element) }
    }

    @inline(never)
    func consume() async -> Checksum {
        var checksum = Checksum()
        while let element = try? await channel.receive() { checksum.add(element) }
        return checksum
    }

    func finish() async { channel.finish() }
}

/// A `Mutex` and two queues of continuations.
final class MutexRendezvous: IntRendezvous {
    private struct ParkedSender {
        let element: Int
        let continuation: UnsafeContinuation<Void, Never>
    }

    private struct State: ~Copyable, @unchecked Sendable {
        var senders = RingDeque<ParkedSender>(minimumCapacity: 4)
        var receivers = RingDeque<UnsafeContinuation<Int?, Never>>(minimumCapacity: 4)
        var isFinished = false
    }

    private let state = Mutex(State())

    @inline(__always)
    func send(_ element: Int) async {
        if let receiver = state.withLock({ $0.receivers.popFirst() }) { return receiver.resume(returning: element) }
        await park(element)
    }

    @inline(__always)
    func receive() async -> Int? {
        if let sender = state.withLock({ $0.senders.popFirst() }) {
            sender.continuation.resume()
            return sender.element
        }
        return await park()
    }

    @inline(never)
    private func park(_ element: Int) async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let receiver = state.withLock { state in
                let receiver = state.receivers.popFirst()
                if receiver == nil {
                    state.senders.append(ParkedSender(element: element, continuation: continuation))
                }
                return receiver
            }
            guard let receiver else { return }
            receiver.resume(returning: element)
            continuation.resume()
        }
    }

    @inline(never)
    private func park() async -> Int? {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Int?, Never>) in
            let (sender, isFinished) = state.withLock { state in
                let sender = state.senders.popFirst()
                if sender == nil, !state.isFinished { state.receivers.append(continuation) }
                return (sender, state.isFinished)
            }
            if let sender {
                sender.continuation.resume()
                continuation.resume(returning: sender.element)
            } else if isFinished {
                continuation.resume(returning: nil)
            }
        }
    }

    func finish() async {
        var parked: [UnsafeContinuation<Int?, Never>] = []
        state.withLock { state in
            state.isFinished = true
            while let receiver = state.receivers.popFirst() { parked.append(receiver) }
        }
        for receiver in parked { receiver.resume(returning: nil) }
    }

    @inline(never)
    func produce(_ range: Range<Int>) async {
        for element in range { await send(element) }
    }

    @inline(never)
    func consume() async -> Checksum {
        var checksum = Checksum()
        while let element = await receive() { checksum.add(element) }
        return checksum
    }
}

/// The same as an actor: what the language suggests first.
actor ActorRendezvous: IntRendezvous {
    private var senders = RingDeque<(element: Int, continuation: UnsafeContinuation<Void, Never>)>(minimumCapacity: 4)
    private var receivers = RingDeque<UnsafeContinuation<Int?, Never>>(minimumCapacity: 4)
    private var isFinished = false

    func send(_ element: Int) async {
        if let receiver = receivers.popFirst() {
            receiver.resume(returning: element)
        } else {
            await withUnsafeContinuation { senders.append((element, $0)) }
        }
    }

    func receive() async -> Int? {
        if let sender = senders.popFirst() {
            sender.continuation.resume()
            return sender.element
        }
        if isFinished { return nil }
        return await withUnsafeContinuation { receivers.append($0) }
    }

    func finish() async {
        isFinished = true
        while let receiver = receivers.popFirst() { receiver.resume(returning: nil) }
    }

    @inline(never)
    nonisolated func produce(_ range: Range<Int>) async {
        for element in range { await send(element) }
    }

    @inline(never)
    nonisolated func consume() async -> Checksum {
        var checksum = Checksum()
        while let element = await receive() { checksum.add(element) }
        return checksum
    }
}
