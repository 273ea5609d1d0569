// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// "Mutex + deque": the channel one writes by hand in an afternoon, done well. The yardstick of the report.
//
// A `Mutex` around a preallocated ring, unsafe continuations, direct hand-over (a sender gives its element to a waiting
// receiver, a receiver moves a waiting sender's element in), resumes after the unlock, one lock acquisition for an
// operation that does not wait. It has no cancellation, no timeout, no error and no close of waiting senders: leaving
// those out makes it faster than what it stands for.

import Synchronization

final class MutexChannel<Element: Sendable>: Sendable {
    struct ParkedSender {
        let element: Element
        let continuation: UnsafeContinuation<Void, Never>
    }

    struct State: ~Copyable, @unchecked Sendable {
        var buffer: RingDeque<Element>
        var senders = RingDeque<ParkedSender>(minimumCapacity: 4)
        var receivers = RingDeque<UnsafeContinuation<Element?, Never>>(minimumCapacity: 4)
        var isFinished = false
    }

    private enum SendStep {
        case stored
        case handOver(UnsafeContinuation<Element?, Never>)
        case full
    }

    private enum ReceiveStep {
        case element(Element)
        case elementAndWake(Element, UnsafeContinuation<Void, Never>)
        case finished
        case empty
    }

    private let capacity: Int
    private let state: Mutex<State>

    init(capacity: Int) {
        self.capacity = capacity
        state = Mutex(State(buffer: RingDeque(minimumCapacity: capacity)))
    }

    // MARK: Without waiting

    /// False when there is no room.
    @inline(__always)
    func trySend(_ element: Element) -> Bool {
        switch state.withLock({ step(&$0, sending: element) }) {
        case .stored: return true
        case .handOver(let receiver):
            receiver.resume(returning: element)
            return true
        case .full: return false
        }
    }

    @inline(__always)
    func tryReceive() -> Element? {
        switch state.withLock({ stepReceiving(&$0) }) {
        case .element(let element): return element
        case .elementAndWake(let element, let sender):
            sender.resume()
            return element
        case .finished, .empty: return nil
        }
    }

    // MARK: Waiting

    @inline(__always)
    func send(_ element: Element) async {
        if trySend(element) { return }
        await park(element)
    }

    @inline(__always)
    func receive() async -> Element? {
        switch state.withLock({ stepReceiving(&$0) }) {
        case .element(let element): return element
        case .elementAndWake(let element, let sender):
            sender.resume()
            return element
        case .finished: return nil
        case .empty: return await parkReceiver()
        }
    }

    func finish() {
        var parked: [UnsafeContinuation<Element?, Never>] = []
        state.withLock { state in
            state.isFinished = true
            while let receiver = state.receivers.popFirst() { parked.append(receiver) }
        }
        for receiver in parked { receiver.resume(returning: nil) }
    }

    var parkedSenderCount: Int { state.withLock { $0.senders.count } }

    // MARK: Steps under the lock

    @inline(__always)
    private func step(_ state: inout State, sending element: Element) -> SendStep {
        if let receiver = state.receivers.popFirst() { return .handOver(receiver) }
        if state.buffer.count == capacity { return .full }
        state.buffer.append(element)
        return .stored
    }

    @inline(__always)
    private func stepReceiving(_ state: inout State) -> ReceiveStep {
        guard let element = state.buffer.popFirst() else { return state.isFinished ? .finished : .empty }
        guard let sender = state.senders.popFirst() else { return .element(element) }
        state.buffer.append(sender.element)
        return .elementAndWake(element, sender.continuation)
    }

    @inline(never)
    private func park(_ element: Element) async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let outcome = state.withLock { state in
                let outcome = step(&state, sending: element)
                if case .full = outcome {
                    state.senders.append(ParkedSender(element: element, continuation: continuation))
                }
                return outcome
            }
            switch outcome {
            case .stored: continuation.resume()
            case .handOver(let receiver):
                receiver.resume(returning: element)
                continuation.resume()
            case .full: break
            }
        }
    }

    @inline(never)
    private func parkReceiver() async -> Element? {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Element?, Never>) in
            let outcome = state.withLock { state in
                let outcome = stepReceiving(&state)
                if case .empty = outcome { state.receivers.append(continuation) }
                return outcome
            }
            switch outcome {
            case .element(let element): continuation.resume(returning: element)
            case .elementAndWake(let element, let sender):
                sender.resume()
                continuation.resume(returning: element)
            case .finished: continuation.resume(returning: nil)
            case .empty: break
            }
        }
    }
}

// MARK: - As a contender

extension MutexChannel: IntChannel where Element == Int {
    @inline(never)
    func produce(_ range: Range<Int>) async {
        for element in range { await send(element) }
    }

    @inline(never)
    func consume(atMost limit: Int) async -> Checksum {
        var checksum = Checksum()
        while checksum.count < limit, let element = await receive() { checksum.add(element) }
        return checksum
    }

    @inline(never)
    func ask(_ count: Int, back: MutexChannel) async -> Checksum {
        var checksum = Checksum()
        for trip in 0..<count {
            await send(trip)
            guard let answer = await back.receive() else { break }
            checksum.add(answer &- 1)
        }
        return checksum
    }

    @inline(never)
    func answer(back: MutexChannel) async -> Checksum {
        var checksum = Checksum()
        while let trip = await receive() {
            checksum.add(trip)
            await back.send(trip &+ 1)
        }
        return checksum
    }
}

extension MutexChannel: ParkingChannel where Element == Int {
    func parkedSenders() async -> Int { parkedSenderCount }
}
