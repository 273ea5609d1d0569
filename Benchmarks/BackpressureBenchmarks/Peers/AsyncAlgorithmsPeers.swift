// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// swift-async-algorithms: AsyncChannel (sender and receiver meet), the same and a plain sequence behind `.buffer`, and
// the multi-producer single-consumer channel, whose watermarks are at half the capacity and at the capacity.

#if Peers

    import AsyncAlgorithms
    import Synchronization

    // MARK: - AsyncChannel

    struct AsyncChannelPeer: IntChannel, IntRendezvous {
        private let channel = AsyncChannel<Int>()

        func send(_ element: Int) async { await channel.send(element) }

        func finish() async { channel.finish() }

        @inline(never)
        func produce(_ range: Range<Int>) async {
            for element in range { await channel.send(element) }
        }

        @inline(never)
        func consume(atMost limit: Int) async -> Checksum {
            var elements = channel.makeAsyncIterator()
            var checksum = Checksum()
            while checksum.count < limit, let element = await elements.next() { checksum.add(element) }
            return checksum
        }

        func consume() async -> Checksum { await consume(atMost: .max) }

        @inline(never)
        func ask(_ count: Int, back: AsyncChannelPeer) async -> Checksum {
            var iterator = back.channel.makeAsyncIterator()
            var checksum = Checksum()
            for trip in 0..<count {
                await channel.send(trip)
                guard let answer = await iterator.next() else { break }
                checksum.add(answer &- 1)
            }
            return checksum
        }

        @inline(never)
        func answer(back: AsyncChannelPeer) async -> Checksum {
            var iterator = channel.makeAsyncIterator()
            var checksum = Checksum()
            while let trip = await iterator.next() {
                checksum.add(trip)
                await back.channel.send(trip &+ 1)
            }
            return checksum
        }
    }

    // MARK: - .buffer

    /// A channel behind a bounded buffer; the buffer runs a task that fetches from the channel.
    struct BufferedAsyncChannelPeer: IntChannel {
        private let channel = AsyncChannel<Int>()
        private let buffer: AsyncBufferSequence<AsyncChannel<Int>>

        init(capacity: Int) { buffer = channel.buffer(policy: .bounded(capacity)) }

        func send(_ element: Int) async { await channel.send(element) }

        func finish() async { channel.finish() }

        @inline(never)
        func produce(_ range: Range<Int>) async {
            for element in range { await channel.send(element) }
        }

        @inline(never)
        func consume(atMost limit: Int) async -> Checksum {
            var elements = buffer.makeAsyncIterator()
            var checksum = Checksum()
            while checksum.count < limit, let element = await elements.next() { checksum.add(element) }
            return checksum
        }

        @inline(never)
        func ask(_ count: Int, back: BufferedAsyncChannelPeer) async -> Checksum {
            var answers = back.buffer.makeAsyncIterator()
            var checksum = Checksum()
            for trip in 0..<count {
                await channel.send(trip)
                guard let answer = await answers.next() else { break }
                checksum.add(answer &- 1)
            }
            return checksum
        }

        @inline(never)
        func answer(back: BufferedAsyncChannelPeer) async -> Checksum {
            var questions = buffer.makeAsyncIterator()
            var checksum = Checksum()
            while let trip = await questions.next() {
                checksum.add(trip)
                await back.channel.send(trip &+ 1)
            }
            return checksum
        }
    }

    /// What `.buffer` is best at: a sequence that produces in the buffer's own task, with no channel between.
    enum BufferedSequencePeer {
        static func contender(capacity: Int) -> Contender {
            Contender(PeerNames.bufferedSequence) { operations in
                let meter = Meter.begin()
                let checksum = await run(operations, capacity: capacity)
                let sample = meter.end(operations: operations)
                try checksum.verify(elements: operations, in: PeerNames.bufferedSequence)
                return sample
            }
        }

        @inline(never)
        private static func run(_ count: Int, capacity: Int) async -> Checksum {
            var elements = (0..<count).async.buffer(policy: .bounded(capacity)).makeAsyncIterator()
            var checksum = Checksum()
            while let element = await elements.next() { checksum.add(element) }
            return checksum
        }
    }

    // MARK: - MultiProducerSingleConsumerAsyncChannel

    /// Every producer has a source of its own, as the library wants it.
    final class MPSCPeer: IntChannel {
        private typealias Channel = MultiProducerSingleConsumerAsyncChannel<Int, Never>

        private struct Ends: ~Copyable, @unchecked Sendable {
            var source: Channel.Source?
            var channel: Channel?
        }

        private let ends: Mutex<Ends>

        init(capacity: Int) {
            var made = Channel.makeChannel(backpressureStrategy: .watermark(low: max(1, capacity / 2), high: capacity))
            let channel = made.takeChannel()
            ends = Mutex(Ends(source: consume made.source, channel: channel))
        }

        private struct Source: ~Copyable, @unchecked Sendable {
            var source: Channel.Source
        }

        private struct Consumer: ~Copyable, @unchecked Sendable {
            var channel: Channel
        }

        /// Nil after the end.
        private func makeSource() -> Source? {
            ends.withLock { ends in
                switch ends.source?.makeAdditionalSource() {
                case .some(let source): Source(source: source)
                case .none: nil
                }
            }
        }

        /// Nil but for the first to ask.
        private func takeChannel() -> Consumer? {
            ends.withLock { ends in
                switch ends.channel.take() {
                case .some(let channel): Consumer(channel: channel)
                case .none: nil
                }
            }
        }

        func send(_ element: Int) async { await produce(element..<element + 1) }

        func finish() async {
            let source: Source? = ends.withLock { ends in
                switch ends.source.take() {
                case .some(let source): Source(source: source)
                case .none: nil
                }
            }
            if let source { source.source.finish() }
        }

        @inline(never)
        func produce(_ range: Range<Int>) async {
            guard var own = makeSource() else { return }
            for element in range {
                do { try await own.source.send(element) } catch { return }
            }
        }

        @inline(never)
        func consume(atMost limit: Int) async -> Checksum {
            guard var own = takeChannel() else { return Checksum() }
            var checksum = Checksum()
            while checksum.count < limit, let element = await own.channel.next() { checksum.add(element) }
            return checksum
        }

        @inline(never)
        func ask(_ count: Int, back: MPSCPeer) async -> Checksum {
            guard var own = makeSource(), var answers = back.takeChannel() else { return Checksum() }
            var checksum = Checksum()
            for trip in 0..<count {
                do { try await own.source.send(trip) } catch { break }
                guard let answer = await answers.channel.next() else { break }
                checksum.add(answer &- 1)
            }
            return checksum
        }

        @inline(never)
        func answer(back: MPSCPeer) async -> Checksum {
            guard var own = takeChannel(), var answers = back.makeSource() else { return Checksum() }
            var checksum = Checksum()
            while let trip = await own.channel.next() {
                checksum.add(trip)
                do { try await answers.source.send(trip &+ 1) } catch { break }
            }
            return checksum
        }
    }

#endif
