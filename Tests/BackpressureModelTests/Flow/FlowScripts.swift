// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The demand word, the drain loops and the sink, used by one thread: what each call answers, exactly, and in how many
// steps. And what one thread writes before it requests or cancels, and another thread reads when it hears of that.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    /// Reads what another thread wrote: with one element, or when it is let go of.
    private final class ReadingSubscriber: Flow.Subscriber, @unchecked Sendable {
        /// Where the threads find the subscription; it does not hold the subscriber.
        final class Place: @unchecked Sendable {
            var subscription: (any Flow.Subscription)?
            let note = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)

            deinit { note.deallocate() }
        }

        private let place: Place
        private let element: Int?

        /// Reads with `element`, or with none and when it is let go of.
        init(_ place: Place, with element: Int?) {
            self.place = place
            self.element = element
        }

        deinit {
            if element == nil { PlainAccess.read(place.note) }
        }

        func onSubscribe(_ subscription: any Flow.Subscription) { place.subscription = subscription }

        func onNext(_ element: Int) {
            if element == self.element { PlainAccess.read(place.note) }
        }

        func onError(_ error: any Error) {}
        func onComplete() {}

        static func place(readsWith element: Int?) -> Place {
            let place = Place()
            Flow.range(0..<9).subscribe(ReadingSubscriber(place, with: element))
            return place
        }
    }

    /// Counts what it is asked for.
    private final class CountingSequence: Sequence, @unchecked Sendable {
        private(set) var pulls = 0

        func makeIterator() -> AnyIterator<Int> {
            AnyIterator {
                self.pulls += 1
                return self.pulls
            }
        }
    }

    /// Does something inside its first signals.
    private final class ActingSubscriber: Flow.Subscriber, @unchecked Sendable {
        let onStart: @Sendable (any Flow.Subscription) -> Void
        let onElement: @Sendable (any Flow.Subscription, Int) -> Void
        private(set) var elements: [Int] = []
        private(set) var ends: [String] = []
        private(set) var subscription: (any Flow.Subscription)?

        init(
            onStart: @escaping @Sendable (any Flow.Subscription) -> Void = { _ in },
            onElement: @escaping @Sendable (any Flow.Subscription, Int) -> Void = { _, _ in }
        ) {
            self.onStart = onStart
            self.onElement = onElement
        }

        func onSubscribe(_ subscription: any Flow.Subscription) {
            self.subscription = subscription
            onStart(subscription)
        }

        func onNext(_ element: Int) {
            elements.append(element)
            if let subscription { onElement(subscription, element) }
        }

        func onError(_ error: any Error) { ends.append("\(error)") }
        func onComplete() { ends.append("complete") }
    }

    enum FlowScripts {
        static let all = [
            requestAfterCancel, requestAfterEnd, unboundedTwice, refused, refusedByAnother, pulledNoMore,
            cancelledAtOnce,
            refusedByStage, cancelledInSink, firstEndCounts, nobodyAsked, requestHandsOver, cancelHandsOver,
        ]

        private static func script(_ name: String, _ body: @escaping @Sendable () -> Void) -> FlowModel {
            FlowModel(model: Model("alone: " + name, setup: {}, threads: [{ _ in body() }], check: { _ in }))
        }

        private static func expect(_ condition: Bool, _ text: @autoclosure () -> String) {
            ModelRuntime.expect(condition, text())
        }

        static let requestAfterCancel = script("cancel, request twice") {
            let pull = FlowModels.Pull(9)
            pull.subscription.request(1)
            pull.subscription.cancel()
            pull.subscription.request(1)
            pull.subscription.request(1)
            pull.expect(1)
        }

        static let requestAfterEnd = script("the end, request twice") {
            let pull = FlowModels.Pull(1)
            pull.subscription.request(2)
            pull.subscription.request(1)
            pull.subscription.request(1)
            pull.expect(1, ends: ["complete"])
        }

        static let unboundedTwice = script("request everything, again and again") {
            let subscriber = ActingSubscriber(onElement: { subscription, _ in subscription.request(.unbounded) })
            Flow.range(0..<3).subscribe(subscriber)
            subscriber.subscription?.request(.unbounded)
            expect(subscriber.elements == [0, 1, 2] && subscriber.ends == ["complete"], "\(subscriber.elements)")
        }

        static let refused = script("request -3") {
            let pull = FlowModels.Pull(9)
            pull.subscription.request(-3)
            pull.expect(0, ends: ["\(Flow.InvalidDemand(-3))"])
        }

        /// Its value is seen by the thread that ends the stream.
        static let refusedByAnother = FlowModel(
            model: Model(
                "request -3 | request 1, 1", setup: { FlowModels.Pull(9) },
                threads: [
                    { $0.subscription.request(-3) },
                    { pull in
                        pull.subscription.request(1)
                        pull.subscription.request(1)
                    },
                ],
                check: { pull in
                    expect(
                        pull.subscriber.ends == ["\(Flow.InvalidDemand(-3))"], "\(pull.subscriber.ends)")
                }))

        static let pulledNoMore = script("cancel in the first element") {
            let sequence = CountingSequence()
            let subscriber = ActingSubscriber(onElement: { subscription, _ in subscription.cancel() })
            Flow.sequence(sequence).subscribe(subscriber)
            subscriber.subscription?.request(5)
            expect(subscriber.elements == [1] && subscriber.ends.isEmpty, "\(subscriber.elements)")
            expect(sequence.pulls == 1, "a cancelled iterator was asked \(sequence.pulls) times")
        }

        static let cancelledAtOnce = script("a stage is cancelled in onSubscribe") {
            let subscriber = ActingSubscriber(onStart: { $0.cancel() })
            let stage = Stage(WindowMachine<Int>(Window(high: 4, low: 1)), subscriber)
            var isConnected = false
            stage.open { isConnected = true }
            expect(!isConnected, "upstream was subscribed to for nobody")
        }

        static let refusedByStage = script("a stage is asked for -3") {
            let bench = FlowModels.WindowBench()
            bench.stage.request(-3)
            bench.expect([], ends: ["\(Flow.InvalidDemand(-3))"])
            expect(bench.upstream.isCancelled, "upstream goes on")
        }

        static let cancelledInSink = script("a sink's subscriber cancels in onSubscribe") {
            let meter = Flow.DropMeter()
            let sink = Flow.Sink<Int>(.unicast(capacity: 1), meter: meter)
            expect(sink.emit(1) == .ok, "there was room")
            sink.subscribe(ActingSubscriber(onStart: { $0.cancel() }))
            expect(sink.emit(2) == .cancelled, "taken, and nobody is there")
            expect(meter.abandoned == 1 && meter.total == 1, "\(meter.abandoned) dropped")
        }

        static let firstEndCounts = script("a sink finishes, fails, is subscribed to") {
            let sink = Flow.Sink<Int>(.buffered(capacity: 1))
            sink.finish()
            sink.finish(throwing: Flow.AlreadySubscribed())
            let subscriber = ActingSubscriber()
            sink.subscribe(subscriber)
            expect(subscriber.ends == ["complete"], "\(subscriber.ends)")
        }

        static let nobodyAsked = script("a sink's best effort, and nobody asked") {
            let sink = Flow.Sink<Int>(.bestEffort)
            let subscriber = ActingSubscriber()
            sink.subscribe(subscriber)
            expect(sink.emit(1) == .overflow, "taken, and nobody had asked")
            subscriber.subscription?.request(1)
            expect(sink.emit(2) == .ok && subscriber.elements == [2], "\(subscriber.elements)")
        }

        /// Whoever sends an element sees what was done before it was asked for: of two only after both requests.
        static let requestHandsOver = FlowModel(
            model: Model(
                "request 1 | write, request 1", setup: { ReadingSubscriber.place(readsWith: 1) },
                threads: [
                    { $0.subscription?.request(1) },
                    { place in
                        PlainAccess.write(place.note)
                        place.subscription?.request(1)
                    },
                ], check: { _ in }))

        /// Whoever lets go of a subscriber sees what was done before it was cancelled.
        static let cancelHandsOver = FlowModel(
            model: Model(
                "write, cancel | request 1", setup: { ReadingSubscriber.place(readsWith: nil) },
                threads: [
                    { place in
                        PlainAccess.write(place.note)
                        place.subscription?.cancel()
                    },
                    { $0.subscription?.request(1) },
                ], check: { _ in }))
    }
#endif
