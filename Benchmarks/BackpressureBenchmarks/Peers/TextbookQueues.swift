// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What one builds in a day out of the usual packages: a bounded ring for many producers and many consumers on
// swift-atomics, and a lock around the deques of swift-collections.

#if Peers

    import Atomics
    import DequeModule
    import Synchronization

    // MARK: - swift-atomics

    /// Dmitry Vyukov's bounded queue (2010): a stamp per slot says whose turn it is.
    ///
    /// It cannot wait: a task that finds it full or empty yields and tries again. The two positions are on lines of their
    /// own.
    final class AtomicsRing: IntChannel, @unchecked Sendable {
        private struct Slot {
            var stamp: UnsafeAtomic<Int>.Storage
            var element: Int
        }

        private static let lineSize = 128

        private let mask: Int
        private let slots: UnsafeMutablePointer<Slot>
        private let lines: UnsafeMutableRawPointer
        private let tail: UnsafeAtomic<Int>
        private let head: UnsafeAtomic<Int>
        private let isFinished: UnsafeAtomic<Bool>

        init(capacity: Int) {
            precondition(capacity > 1 && capacity & (capacity - 1) == 0, "a power of two, and more than one")
            mask = capacity - 1
            slots = .allocate(capacity: capacity)
            for index in 0..<capacity { (slots + index).initialize(to: Slot(stamp: .init(index), element: 0)) }
            lines = .allocate(byteCount: 3 * Self.lineSize, alignment: Self.lineSize)
            tail = Self.atomic(in: lines, line: 0)
            head = Self.atomic(in: lines, line: 1)
            let finished = (lines + 2 * Self.lineSize).bindMemory(to: UnsafeAtomic<Bool>.Storage.self, capacity: 1)
            finished.initialize(to: .init(false))
            isFinished = UnsafeAtomic(at: finished)
        }

        deinit {
            for index in 0...mask { _ = (slots + index).pointee.stamp.dispose() }
            slots.deallocate()
            lines.deallocate()
        }

        private static func atomic(in lines: UnsafeMutableRawPointer, line: Int) -> UnsafeAtomic<Int> {
            let place = (lines + line * lineSize).bindMemory(to: UnsafeAtomic<Int>.Storage.self, capacity: 1)
            place.initialize(to: .init(0))
            return UnsafeAtomic(at: place)
        }

        /// The stamp is the slot's first member.
        @inline(__always)
        private func stamp(_ position: Int) -> UnsafeAtomic<Int> {
            let slot = UnsafeMutableRawPointer(slots + (position & mask))
            return UnsafeAtomic(at: slot.assumingMemoryBound(to: UnsafeAtomic<Int>.Storage.self))
        }

        @inline(__always)
        private func trySend(_ element: Int) -> Bool {
            var position = tail.load(ordering: .relaxed)
            while true {
                let stamp = stamp(position)
                let difference = stamp.load(ordering: .acquiring) &- position
                if difference < 0 { return false }
                if difference > 0 {
                    position = tail.load(ordering: .relaxed)
                    continue
                }
                let (won, seen) = tail.weakCompareExchange(
                    expected: position, desired: position &+ 1, ordering: .relaxed)
                if won {
                    (slots + (position & mask)).pointee.element = element
                    stamp.store(position &+ 1, ordering: .releasing)
                    return true
                }
                position = seen
            }
        }

        @inline(__always)
        private func tryReceive() -> Int? {
            var position = head.load(ordering: .relaxed)
            while true {
                let stamp = stamp(position)
                let difference = stamp.load(ordering: .acquiring) &- (position &+ 1)
                if difference < 0 { return nil }
                if difference > 0 {
                    position = head.load(ordering: .relaxed)
                    continue
                }
                let (won, seen) = head.weakCompareExchange(
                    expected: position, desired: position &+ 1, ordering: .relaxed)
                if won {
                    let element = (slots + (position & mask)).pointee.element
                    stamp.store(position &+ mask &+ 1, ordering: .releasing)
                    return element
                }
                position = seen
            }
        }

        func send(_ element: Int) async {
            while !trySend(element) { await Task.yield() }
        }

        /// Nil at the end: finished, and still empty when asked after that.
        @inline(never)
        private func receiveLater() async -> Int? {
            while true {
                let wasFinished = isFinished.load(ordering: .acquiring)
                if let element = tryReceive() { return element }
                if wasFinished { return nil }
                await Task.yield()
            }
        }

        @inline(never)
        private func sendLater(_ element: Int) async {
            while !trySend(element) { await Task.yield() }
        }

        func finish() async { isFinished.store(true, ordering: .releasing) }

        // MARK: The loops

        @inline(never)
        func produce(_ range: Range<Int>) async {
            for element in range where !trySend(element) { await sendLater(element) }
        }

        @inline(never)
        func consume(atMost limit: Int) async -> Checksum {
            var checksum = Checksum()
            while checksum.count < limit {
                if let element = tryReceive() {
                    checksum.add(element)
                } else {
                    guard let element = await receiveLater() else { break }
                    checksum.add(element)
                }
            }
            return checksum
        }

        @inline(never)
        func ask(_ count: Int, back: AtomicsRing) async -> Checksum {
            var checksum = Checksum()
            for trip in 0..<count {
                if !trySend(trip) { await sendLater(trip) }
                if let answer = back.tryReceive() {
                    checksum.add(answer &- 1)
                } else {
                    guard let answer = await back.receiveLater() else { break }
                    checksum.add(answer &- 1)
                }
            }
            return checksum
        }

        @inline(never)
        func answer(back: AtomicsRing) async -> Checksum {
            var checksum = Checksum()
            while let trip = await receiveLater() {
                checksum.add(trip)
                await back.send(trip &+ 1)
            }
            return checksum
        }
    }

    // MARK: - swift-collections

    /// A mutex around three deques: of elements, of waiting senders and of waiting receivers.
    ///
    /// It hands over directly and resumes after the unlock; it has no cancellation, no timeout and no close of waiting
    /// senders.
    final class DequeChannel: IntChannel {
        private typealias Receiver = UnsafeContinuation<Int?, Never>
        private typealias Sender = (element: Int, continuation: UnsafeContinuation<Void, Never>)

        private struct State: @unchecked Sendable {
            var buffer = Deque<Int>()
            var senders = Deque<Sender>()
            var receivers = Deque<Receiver>()
            var isFinished = false
        }

        private enum Answer {
            case element(Int, wake: UnsafeContinuation<Void, Never>?)
            case finished
            case empty
        }

        private enum Fate {
            case stored(wake: Receiver?)
            case full
        }

        private let capacity: Int
        private let state: Mutex<State>

        init(capacity: Int) {
            self.capacity = capacity
            var state = State()
            state.buffer.reserveCapacity(capacity)
            self.state = Mutex(state)
        }

        @inline(__always)
        private func put(_ element: Int, _ state: inout State) -> Fate {
            if let receiver = state.receivers.popFirst() { return .stored(wake: receiver) }
            if state.buffer.count == capacity { return .full }
            state.buffer.append(element)
            return .stored(wake: nil)
        }

        @inline(__always)
        private func take(_ state: inout State) -> Answer {
            guard let element = state.buffer.popFirst() else { return state.isFinished ? .finished : .empty }
            guard let sender = state.senders.popFirst() else { return .element(element, wake: nil) }
            state.buffer.append(sender.element)
            return .element(element, wake: sender.continuation)
        }

        @inline(__always)
        func send(_ element: Int) async {
            switch state.withLock({ put(element, &$0) }) {
            case .stored(let receiver): receiver?.resume(returning: element)
            case .full: await park(element)
            }
        }

        @inline(never)
        private func park(_ element: Int) async {
            await withUnsafeContinuation { continuation in
                let fate = state.withLock { state in
                    let fate = put(element, &state)
                    if case .full = fate { state.senders.append((element, continuation)) }
                    return fate
                }
                if case .stored(let receiver) = fate {
                    receiver?.resume(returning: element)
                    continuation.resume()
                }
            }
        }

        @inline(__always)
        private func receive() async -> Int? {
            switch state.withLock({ take(&$0) }) {
            case .element(let element, let sender):
                sender?.resume()
                return element
            case .finished: return nil
            case .empty: return await park()
            }
        }

        @inline(never)
        private func park() async -> Int? {
            await withUnsafeContinuation { continuation in
                let answer = state.withLock { state in
                    let answer = take(&state)
                    if case .empty = answer { state.receivers.append(continuation) }
                    return answer
                }
                switch answer {
                case .element(let element, let sender):
                    sender?.resume()
                    continuation.resume(returning: element)
                case .finished: continuation.resume(returning: nil)
                case .empty: break
                }
            }
        }

        func finish() async {
            let parked = state.withLock { state in
                state.isFinished = true
                let parked = state.receivers
                state.receivers = []
                return parked
            }
            for receiver in parked { receiver.resume(returning: nil) }
        }

        // MARK: The loops

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
        func ask(_ count: Int, back: DequeChannel) async -> Checksum {
            var checksum = Checksum()
            for trip in 0..<count {
                await send(trip)
                guard let answer = await back.receive() else { break }
                checksum.add(answer &- 1)
            }
            return checksum
        }

        @inline(never)
        func answer(back: DequeChannel) async -> Checksum {
            var checksum = Checksum()
            while let trip = await receive() {
                checksum.add(trip)
                await back.send(trip &+ 1)
            }
            return checksum
        }
    }

#endif
