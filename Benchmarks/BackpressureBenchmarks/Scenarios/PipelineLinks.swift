// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What joins two stages: the library's bounded channel, or the standard library's unbounded stream. Both keep count of
// what is between the stages.

import Backpressure
import Synchronization

/// A queue between two stages, one task on each side.
protocol PipelineLink<Element>: Sendable {
    associatedtype Element: Sendable

    func send(_ element: Element) async
    func finish()

    /// Calls `body` with each element until the link has finished.
    func forEach(_ body: (Element) async -> Void) async

    /// The most elements that were in it, looked at after each send.
    var peakDepth: Int { get }
}

/// The highest value seen.
final class Peak: Sendable {
    private let highest = Atomic<Int>(0)

    var value: Int { highest.load(ordering: .relaxed) }

    func see(_ value: Int) { highest.max(value, ordering: .relaxed) }
}

/// Waits for room: a slow stage slows the ones before it.
struct BoundedLink<Element: Sendable>: PipelineLink {
    private let channel: BoundedChannel<Element, Never>
    private let peak = Peak()

    init(capacity: Int) { channel = BoundedChannel(capacity: capacity) }

    func send(_ element: Element) async {
        _ = await channel.send(element)
        peak.see(channel.count)
    }

    func finish() { channel.finish() }

    func forEach(_ body: (Element) async -> Void) async {
        while let element = try? await channel.receive() { await body(element) }
    }

    var peakDepth: Int { peak.value }
}

/// Never waits: what a slow stage has not taken yet lies in memory.
final class UnboundedLink<Element: Sendable>: PipelineLink {
    private let stream: AsyncStream<Element>
    private let continuation: AsyncStream<Element>.Continuation
    private let depth = Atomic<Int>(0)
    private let peak = Peak()

    init() { (stream, continuation) = AsyncStream.makeStream(of: Element.self, bufferingPolicy: .unbounded) }

    func send(_ element: Element) async {
        peak.see(depth.wrappingAdd(1, ordering: .relaxed).newValue)
        continuation.yield(element)
    }

    func finish() { continuation.finish() }

    func forEach(_ body: (Element) async -> Void) async {
        for await element in stream {
            depth.wrappingSubtract(1, ordering: .relaxed)
            await body(element)
        }
    }

    var peakDepth: Int { peak.value }
}
