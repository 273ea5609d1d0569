// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// swift-nio: the producer's end of an asynchronous sequence and the writer's end of a synchronous sink, with watermarks
// at half the capacity and at the capacity.
//
// NIOAsyncSequenceProducer is fed by synchronous code, which it tells to stop and, through its delegate, to go on. A task
// that feeds it has to wait in between, and no part of NIO does that for it: `Resumption` does. NIOAsyncWriter has that
// part, and lacks a queue. Writer and producer together are a channel, made as NIOAsyncChannel makes it.

#if Peers

    import DequeModule
    import NIOCore
    import Synchronization

    private typealias Watermarks = NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark

    private func watermarks(_ capacity: Int) -> Watermarks {
        Watermarks(lowWatermark: max(1, capacity / 2), highWatermark: capacity)
    }

    // MARK: - The producer

    /// Parks the tasks that were told to stop, until they are told to go on.
    ///
    /// "Go on" may come before the task that was told to stop has parked. So a task reads the count of these calls before
    /// it yields its element, and does not park if the count has changed.
    private final class Resumption: NIOAsyncSequenceProducerDelegate {
        private let calls = Atomic<Int>(0)
        private let parked = Mutex<[UnsafeContinuation<Void, Never>]>([])

        @inline(__always)
        var count: Int { calls.load(ordering: .acquiring) }

        @inline(never)
        func wait(since count: Int) async {
            await withUnsafeContinuation { continuation in
                let isLate = parked.withLock { parked in
                    if self.count != count { return true }
                    parked.append(continuation)
                    return false
                }
                if isLate { continuation.resume() }
            }
        }

        func produceMore() {
            let woken = parked.withLock { parked in
                calls.wrappingAdd(1, ordering: .releasing)
                let woken = parked
                parked = []
                return woken
            }
            for continuation in woken { continuation.resume() }
        }

        func didTerminate() { produceMore() }
    }

    final class NIOProducerPeer: IntChannel {
        private typealias Producer = NIOAsyncSequenceProducer<Int, Watermarks, Resumption>

        private let resumption = Resumption()
        private let source: Producer.Source
        private let sequence: Producer

        init(capacity: Int) {
            let made = Producer.makeSequence(
                elementType: Int.self, backPressureStrategy: watermarks(capacity), finishOnDeinit: true,
                delegate: resumption)
            source = made.source
            sequence = made.sequence
        }

        @inline(__always)
        private func put(_ element: Int) async {
            let count = resumption.count
            if case .stopProducing = source.yield(element) { await resumption.wait(since: count) }
        }

        func send(_ element: Int) async { await put(element) }

        func finish() async { source.finish() }

        @inline(never)
        func produce(_ range: Range<Int>) async {
            for element in range { await put(element) }
        }

        @inline(never)
        func consume(atMost limit: Int) async -> Checksum {
            let elements = sequence.makeAsyncIterator()
            var checksum = Checksum()
            while checksum.count < limit, let element = await elements.next() { checksum.add(element) }
            return checksum
        }

        @inline(never)
        func ask(_ count: Int, back: NIOProducerPeer) async -> Checksum {
            let answers = back.sequence.makeAsyncIterator()
            var checksum = Checksum()
            for trip in 0..<count {
                await put(trip)
                guard let answer = await answers.next() else { break }
                checksum.add(answer &- 1)
            }
            return checksum
        }

        @inline(never)
        func answer(back: NIOProducerPeer) async -> Checksum {
            let questions = sequence.makeAsyncIterator()
            var checksum = Checksum()
            while let trip = await questions.next() {
                checksum.add(trip)
                await back.put(trip &+ 1)
            }
            return checksum
        }
    }

    // MARK: - The writer

    /// The writer's sink, which forwards into the producer and closes the writer's door while that is full.
    ///
    /// The producer may be emptied between its "stop" and the closing of the door. So the door is opened again if the
    /// count of "go on" has changed meanwhile: an element too many may pass, and nobody stays outside.
    private final class Pipe: NIOAsyncWriterSinkDelegate, NIOAsyncSequenceProducerDelegate {
        typealias Producer = NIOAsyncSequenceProducer<Int, Watermarks, Pipe>
        typealias Writer = NIOAsyncWriter<Int, Pipe>

        private let calls = Atomic<Int>(0)
        /// Set once, before the first element.
        nonisolated(unsafe) private var source: Producer.Source?
        /// Taken at the end, because what it belongs to holds this object.
        private let sink = Mutex<Writer.Sink?>(nil)

        static func make(capacity: Int) -> (Writer, Producer) {
            let pipe = Pipe()
            let producer = Producer.makeSequence(
                elementType: Int.self, backPressureStrategy: watermarks(capacity), finishOnDeinit: true, delegate: pipe)
            let writer = Writer.makeWriter(
                elementType: Int.self, isWritable: true, finishOnDeinit: true, delegate: pipe)
            pipe.source = producer.source
            pipe.sink.withLock { $0 = writer.sink }
            return (writer.writer, producer.sequence)
        }

        func didYield(_ element: Int) {
            let count = calls.load(ordering: .acquiring)
            guard let result = source?.yield(element), case .stopProducing = result else { return }
            close(since: count)
        }

        func didYield(contentsOf elements: Deque<Int>) {
            let count = calls.load(ordering: .acquiring)
            guard let result = source?.yield(contentsOf: elements), case .stopProducing = result else { return }
            close(since: count)
        }

        @inline(never)
        private func close(since count: Int) {
            let sink = sink.withLock { $0 }
            sink?.setWritability(to: false)
            if calls.load(ordering: .acquiring) != count { sink?.setWritability(to: true) }
        }

        func produceMore() {
            calls.wrappingAdd(1, ordering: .acquiringAndReleasing)
            sink.withLock { $0 }?.setWritability(to: true)
        }

        func didTerminate(error: (any Error)?) {
            source?.finish()
        }

        func didTerminate() {
            let sink = sink.withLock { $0.take() }
            sink?.finish()
        }
    }

    final class NIOWriterPeer: IntChannel {
        private let writer: Pipe.Writer
        private let sequence: Pipe.Producer

        init(capacity: Int) { (writer, sequence) = Pipe.make(capacity: capacity) }

        func send(_ element: Int) async { try? await writer.yield(element) }

        func finish() async { writer.finish() }

        @inline(never)
        func produce(_ range: Range<Int>) async {
            do { for element in range { try await writer.yield(element) } } catch {}
        }

        @inline(never)
        func consume(atMost limit: Int) async -> Checksum {
            let elements = sequence.makeAsyncIterator()
            var checksum = Checksum()
            while checksum.count < limit, let element = await elements.next() { checksum.add(element) }
            return checksum
        }

        @inline(never)
        func ask(_ count: Int, back: NIOWriterPeer) async -> Checksum {
            let answers = back.sequence.makeAsyncIterator()
            var checksum = Checksum()
            for trip in 0..<count {
                do { try await writer.yield(trip) } catch { break }
                guard let answer = await answers.next() else { break }
                checksum.add(answer &- 1)
            }
            return checksum
        }

        @inline(never)
        func answer(back: NIOWriterPeer) async -> Checksum {
            let questions = sequence.makeAsyncIterator()
            var checksum = Checksum()
            while let trip = await questions.next() {
                checksum.add(trip)
                do { try await back.writer.yield(trip &+ 1) } catch { break }
            }
            return checksum
        }
    }

    // MARK: - The writer alone

    /// What the writer itself costs: its sink adds up and is always open.
    final class NIOSum: NIOAsyncWriterSinkDelegate, @unchecked Sendable {
        /// Of one task only, which is the one that writes.
        private var checksum = Checksum()

        func didYield(_ element: Int) { checksum.add(element) }

        func didYield(contentsOf elements: Deque<Int>) { for element in elements { checksum.add(element) } }

        func didTerminate(error: (any Error)?) {}

        @inline(never)
        static func sample(_ operations: Int) async throws -> Sample {
            let sum = NIOSum()
            let made = NIOAsyncWriter<Int, NIOSum>.makeWriter(
                elementType: Int.self, isWritable: true, finishOnDeinit: true, delegate: sum)
            let meter = Meter.begin()
            for element in 0..<operations { try await made.writer.yield(element) }
            let sample = meter.end(operations: operations)
            made.writer.finish()
            try sum.checksum.verify(elements: operations, in: PeerNames.nioWriterAlone)
            return sample
        }
    }

#endif
