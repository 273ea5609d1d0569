// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A publisher that cannot be slowed, each `onBackpressure...`, and a subscriber that asks for one element in a hundred: the
// peak memory of a process of its own stays where it was after the first few elements, and every element is delivered,
// merged or handed to the hook, once.
//
// Ten million elements of 80 bytes would be 800 MB if they stayed. What became of an element is kept as two bits, laid
// out and written to before the measurement begins.

import BackpressureTestSupport
import Testing

@testable import Backpressure

#if os(Linux)
    #if canImport(Glibc)
        import Glibc
    #elseif canImport(Musl)
        import Musl
    #endif

    @Suite("Flow: memory behind a slow subscriber", .serialized, .timeLimit(.minutes(20)))
    struct FlowOverflowMemoryTests {
        enum Stage: String, CaseIterable, Codable, Sendable {
            case bufferOldest, bufferNewest, bufferFails, bufferExpires, drop, latest, error, conflate
        }

        @Test("peak memory is flat, and each element has one end", arguments: Stage.allCases)
        func isFlat(stage: Stage) async {
            let result = await #expect(
                processExitsWith: .success, observing: [\.standardOutputContent]
            ) { [stage = stage as Stage] in
                let size = LaneSize(
                    "flow.memory.\(stage.rawValue)", plain: 20_000, sanitizer: 5_000, deep: 10_000_000)
                OverflowRun(stage, count: size.count).run()
            }
            print(String(decoding: result?.standardOutputContent ?? [], as: UTF8.self), terminator: "")
        }
    }

    /// One stage between a publisher that pushes and a subscriber that is slow; in one thread.
    private final class OverflowRun: @unchecked Sendable {
        /// The first elements, in which everything is made that stays.
        private static let warmUp = 2_000
        /// How many kilobytes the peak may grow by after that.
        private static let allowance = 1_024

        private let stage: FlowOverflowMemoryTests.Stage
        private let count: Int
        private let pusher = Pusher()
        private let meter = Flow.DropMeter()
        private let clock = ManualTime()
        private var subscription: (any Flow.Subscription)?
        /// By element: 1 it was delivered, 2 it was handed to the hook, 3 both.
        private var ends: [UInt8]
        private var delivered = 0
        private var dropped = 0
        private var wrong = 0
        private var last = -1
        private var hasEnded = false

        init(_ stage: FlowOverflowMemoryTests.Stage, count: Int) {
            self.stage = stage
            self.count = count
            ends = Array(repeating: 0, count: (count + 3) / 4)
        }

        func run() {
            // Every page of it is there before the measurement.
            for index in ends.indices { ends[index] = 0 }
            subscribe()
            push(0..<min(Self.warmUp, count))
            let before = Self.peakKilobytes()
            push(min(Self.warmUp, count)..<count)
            let after = Self.peakKilobytes()
            pusher.subscriber?.complete()
            subscription?.request(.unbounded)
            check(before, after)
        }

        private func push(_ numbers: Range<Int>) {
            for number in numbers {
                pusher.subscriber?.next(Load(number))
                if number % 100 == 99 { subscription?.request(1) }
                if stage == .bufferExpires, number % 10 == 9 { clock.advance() }
            }
        }

        // MARK: The stages

        private func subscribe() {
            let hook: Flow.DropHook<Load> = { [unowned self] load, _ in note(load.number, 2) }
            switch stage {
            case .bufferOldest:
                listen(pusher.onBackpressureBuffer(64, overflow: .dropOldest, meter: meter, onDropped: hook))
            case .bufferNewest:
                listen(pusher.onBackpressureBuffer(64, overflow: .dropNewest, meter: meter, onDropped: hook))
            case .bufferFails:
                listen(pusher.onBackpressureBuffer(64, overflow: .fail, meter: meter, onDropped: hook))
            case .bufferExpires:
                listen(
                    pusher.onBackpressureBuffer(
                        64, overflow: .dropOldest, timeToLive: .seconds(5), clock: clock, meter: meter, onDropped: hook)
                )
            case .drop: listen(pusher.onBackpressureDrop(meter: meter, onDropped: hook))
            case .latest: listen(pusher.onBackpressureLatest(meter: meter, onDropped: hook))
            case .error: listen(pusher.onBackpressureError(meter: meter, onDropped: hook))
            case .conflate:
                // What is merged into a newer element has its end there.
                listen(
                    pusher.conflate { [unowned self] old, new in
                        note(old.number, 2)
                        return new
                    })
            }
        }

        private func listen<P: Flow.Publisher<Load>>(_ publisher: P) { publisher.subscribe(Listener(self)) }

        private struct Listener: Flow.Subscriber {
            unowned let run: OverflowRun

            init(_ run: OverflowRun) { self.run = run }

            func onSubscribe(_ subscription: any Flow.Subscription) {
                run.subscription = subscription
                subscription.request(1)
            }

            func onNext(_ load: Load) {
                run.note(load.number, 1)
                if load.number <= run.last { run.wrong += 1 }
                run.last = load.number
            }

            func onError(_ error: any Error) { run.hasEnded = true }
            func onComplete() { run.hasEnded = true }
        }

        private func note(_ number: Int, _ end: UInt8) {
            if end == 1 { delivered += 1 } else { dropped += 1 }
            let shift = UInt8(number % 4) * 2
            // A second end of any kind is one too many.
            if (ends[number / 4] >> shift) & 3 != 0 { wrong += 1 }
            ends[number / 4] |= end << shift
        }

        // MARK: What came of it

        private func check(_ before: Int, _ after: Int) {
            #expect(hasEnded && wrong == 0, "\(stage): \(wrong) elements had two ends, or came out of order")
            #expect(delivered + dropped == count, "\(stage): \(delivered) delivered, \(dropped) dropped of \(count)")
            #expect(delivered > 0 && dropped > count / 2, "\(stage): the subscriber is not slow")
            if stage != .conflate { #expect(meter.total == UInt64(dropped), "\(stage): counted \(meter.total)") }
            // Not under a sanitizer, which keeps what was freed for a while.
            if Lane.current != .sanitizer {
                #expect(after - before <= Self.allowance, "\(stage): the peak grew from \(before) kB to \(after) kB")
            }
            print(
                "memory \(stage.rawValue): \(count) elements, \(delivered) delivered, \(dropped) dropped;"
                    + " peak \(before) kB after \(Self.warmUp), \(after) kB after all")
        }

        /// The peak of this process's resident memory.
        private static func peakKilobytes() -> Int {
            guard let file = fopen("/proc/self/status", "r") else { return 0 }
            defer { fclose(file) }
            var line = [CChar](repeating: 0, count: 256)
            while fgets(&line, CInt(line.count), file) != nil {
                let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
                if text.hasPrefix("VmHWM:") { return text.split(separator: " ").compactMap { Int($0) }.first ?? 0 }
            }
            return 0
        }
    }

    /// An element that is 80 bytes on the heap.
    private final class Load: Sendable {
        let number: Int
        private let ballast = (0, 0, 0, 0, 0, 0, 0)

        init(_ number: Int) { self.number = number }
    }

    /// Pushes to its one subscriber, whatever that asks for, and goes on when it has cancelled: as those do for whom these
    /// stages are made.
    private final class Pusher: Flow.Publisher, @unchecked Sendable {
        typealias Output = Load

        struct Subscriber {
            let next: (Load) -> Void
            let complete: () -> Void
        }

        private final class Link: Flow.Subscription {
            func request(_ demand: Demand) {}
            func cancel() {}
        }

        private final class Box<S> {
            var subscriber: S
            init(_ subscriber: S) { self.subscriber = subscriber }
        }

        var subscriber: Subscriber?

        func subscribe<S: Flow.Subscriber>(_ subscriber: sending S) where S.Input == Load {
            let box = Box(subscriber)
            box.subscriber.onSubscribe(Link())
            self.subscriber = Subscriber(
                next: { box.subscriber.onNext($0) }, complete: { box.subscriber.onComplete() })
        }
    }

    /// A clock that goes on by a second when it is told to, for one thread; nobody sleeps on it.
    private final class ManualTime: Clock, @unchecked Sendable {
        struct Instant: InstantProtocol {
            var seconds: Int64
            func advanced(by duration: Duration) -> Instant { Instant(seconds: seconds + duration.components.seconds) }
            func duration(to other: Instant) -> Duration { .seconds(other.seconds - seconds) }
            static func < (left: Instant, right: Instant) -> Bool { left.seconds < right.seconds }
        }

        private(set) var now = Instant(seconds: 0)
        var minimumResolution: Duration { .seconds(1) }

        func advance() { now.seconds += 1 }
        func sleep(until deadline: Instant, tolerance: Duration?) async throws {}
    }
#endif
