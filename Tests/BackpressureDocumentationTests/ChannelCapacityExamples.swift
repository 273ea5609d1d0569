// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The examples about a channel's capacity, its watermarks and its sources: of Channels.md and of the symbols.

import Backpressure
import Synchronization
import Testing

/// A source that calls back: it knows nothing of tasks and cannot wait.
final class Sensor: Sendable {
    private struct State: Sendable {
        var isRunning = true
        var onReading: (@Sendable (Int) -> Void)?
    }

    private let state = Mutex(State())

    var isRunning: Bool { state.withLock { $0.isRunning } }

    var onReading: (@Sendable (Int) -> Void)? {
        get { state.withLock { $0.onReading } }
        set { state.withLock { $0.onReading = newValue } }
    }

    func stop() { state.withLock { $0.isRunning = false } }
    func start() { state.withLock { $0.isRunning = true } }
}

private typealias Feed = Sensor

@Suite("Examples of a channel's capacity", .timeLimit(.minutes(10)))
struct ChannelCapacityExamples {
    struct SensorError: Error, Equatable {}

    @Test("wait for a while, then drop")
    func patience() async {
        let patient = BoundedChannel<Int, Never>(
            capacity: 1,
            overflow: .suspend(for: .milliseconds(20), then: .dropOldest),
            onUndelivered: { reading, reason in print("lost \(reading): \(reason)") }
        )
        _ = await patient.send(1)
        _ = await patient.send(2)  // waits for 20 ms, and then evicts 1

        #expect(patient.tryReceive().take() == 2)
        #expect(patient.snapshot().evicted == 1)
    }

    @Test("resize, in the article")
    func resizing() async {
        let adaptive = BoundedChannel<Int, Never>(capacity: 4, maximumCapacity: 256)
        for number in 0..<4 { _ = await adaptive.send(number) }

        adaptive.resize(capacity: 2)  // drops nothing
        print(adaptive.count)  // 4
        print(adaptive.trySend(4).reason == .full)  // true
        adaptive.resize(capacity: 256)  // whoever waits and now fits is served

        #expect(adaptive.count == 4 && adaptive.trySend(4).isSent && adaptive.capacity == 256)
    }

    @Test("resize")
    func resize() {
        let channel = BoundedChannel<Int, Never>(capacity: 4, maximumCapacity: 64)
        channel.resize(capacity: 64)  // waiting senders that now fit are served
        channel.resize(capacity: 1)  // what is in stays in

        #expect(channel.capacity == 1 && channel.maximumCapacity == 64)
    }

    @Test("watermarks, in the article")
    func watermarks() {
        let sensor = Sensor()
        let marks = Watermarks(low: 2, high: 6) { edge in
            switch edge {
            case .pause: sensor.stop()
            case .resume: sensor.start()
            }
        }
        let measurements = BoundedChannel<Int, Never>(capacity: 8, watermarks: marks)
        sensor.onReading = { reading in
            _ = measurements.trySend(reading)  // two more still fit when the sensor is told to stop
        }

        for reading in 0..<6 { sensor.onReading?(reading) }
        #expect(!sensor.isRunning)
        for reading in 6..<8 { sensor.onReading?(reading) }
        #expect(measurements.count == 8)
        for _ in 0..<6 { _ = measurements.tryReceive() }
        #expect(sensor.isRunning)
        sensor.onReading = nil
    }

    @Test("watermarks")
    func feed() {
        let feed = Feed()
        let marks = Watermarks(low: 2, high: 6) { edge in
            switch edge {
            case .pause: feed.stop()
            case .resume: feed.start()
            }
        }
        let channel = BoundedChannel<Int, Never>(capacity: 8, watermarks: marks)
        feed.onReading = { reading in _ = channel.trySend(reading) }

        for reading in 0..<6 { feed.onReading?(reading) }
        #expect(!feed.isRunning && channel.snapshot().isPaused)
        feed.onReading = nil
    }

    @Test("forward, in the article")
    func forwarding() async {
        let words = AsyncStream<String> { continuation in
            for word in ["one", "two", "three"] { continuation.yield(word) }
            continuation.finish()
        }
        let sentences = BoundedChannel<String, Never>(capacity: 16)
        let result = await sentences.forward(words)
        print("\(result.sent) words")  // 3 words

        #expect(result.sent == 3 && sentences.count == 3)
    }

    @Test("forward")
    func forward() async {
        let lines = AsyncStream<String> { continuation in
            continuation.yield("one")
            continuation.finish()
        }
        let channel = BoundedChannel<String, Never>(capacity: 16)
        let result = await channel.forward(lines)
        print("\(result.sent) lines, ended by \(result.end)")

        #expect(result.sent == 1 && result.end == .exhausted)
    }

    @Test("forward and finish")
    func forwardAndFinish() async throws {
        let readings = BoundedChannel<Int, SensorError>(capacity: 4)
        _ = readings.trySend(1)
        readings.finish(throwing: SensorError())
        let channel = BoundedChannel<Int, SensorError>(capacity: 16)
        _ = await channel.forward(readings, finishingWith: { $0 })

        #expect(try await channel.receive() == 1)
        await #expect(throws: ReceiveError<SensorError>.failed(SensorError())) { _ = try await channel.receive() }
    }
}
