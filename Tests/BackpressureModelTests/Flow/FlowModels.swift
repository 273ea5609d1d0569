// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The demand word and the drain loops under the model checker: the shipped code, in every schedule.
//
// A subscriber's log is plain memory that every signal writes to: two signals that are not ordered by the word are a
// data race, whatever else comes of them.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    /// Writes down what it gets; used by one thread at a time if the code under test is right.
    final class ModelSubscriber: Flow.Subscriber, @unchecked Sendable {
        private(set) var elements: [Int] = []
        private(set) var ends: [String] = []
        private(set) var depth = 0
        var subscription: (any Flow.Subscription)?
        let first: Demand
        let each: Demand
        private let log = UnsafeMutableRawPointer.allocate(byteCount: 8, alignment: 8)

        init(_ first: Demand = 0, each: Demand = 0) {
            self.first = first
            self.each = each
        }

        deinit { log.deallocate() }

        private func signal(_ body: () -> Void) {
            PlainAccess.write(log)
            depth += 1
            ModelRuntime.expect(depth == 1, "a signal runs inside another")
            ModelRuntime.expect(ends.isEmpty, "a signal after the end")
            body()
            depth -= 1
            PlainAccess.write(log)
        }

        func onSubscribe(_ subscription: any Flow.Subscription) {
            signal {
                self.subscription = subscription
                if first != 0 { subscription.request(first) }
            }
        }

        func onNext(_ element: Int) {
            signal {
                elements.append(element)
                if each != 0 { subscription?.request(each) }
            }
        }

        func onError(_ error: any Error) { signal { ends.append("\(error)") } }

        func onComplete() { signal { ends.append("complete") } }
    }

    /// An upstream that a thread of the model plays.
    final class ModelUpstream: Flow.Subscription, @unchecked Sendable {
        private let words = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 8)

        init() {
            words.storeBytes(of: 0, as: UInt64.self)
            words.storeBytes(of: 0, toByteOffset: 8, as: UInt64.self)
        }

        deinit { words.deallocate() }

        func request(_ demand: Demand) {
            _ = AtomicWord(at: words).fetchAddAcquiringAndReleasing(UInt64(min(demand.count, 1 << 40)))
        }

        func cancel() { _ = AtomicWord(at: words + 8).fetchAddAcquiringAndReleasing(1) }

        var requested: UInt64 { AtomicWord(at: words).loadAcquiring() }
        var isCancelled: Bool { AtomicWord(at: words + 8).loadAcquiring() > 0 }
    }

    struct FlowModel: Sendable, CustomStringConvertible {
        let model: Model

        var description: String { model.name }
    }

    enum FlowModels {
        static let all = [
            requests, requestsAndCancel, requestsFromInside, invalid, endAndRequest, window, windowCancel, windowEnd,
            overflow, overflowEvicts, overflowDrop, overflowCancel, prefix,
            mergeTwo,
        ]

        // MARK: The pull loop

        final class Pull: @unchecked Sendable {
            let subscriber: ModelSubscriber
            let subscription: any Flow.Subscription

            init(_ count: Int, _ subscriber: ModelSubscriber = ModelSubscriber()) {
                self.subscriber = subscriber
                Flow.range(0..<count).subscribe(subscriber)
                guard let subscription = subscriber.subscription else { fatalError("no subscription") }
                self.subscription = subscription
            }

            func expect(_ count: Int, ends: [String] = []) {
                ModelRuntime.expect(
                    subscriber.elements == Array(0..<count), "\(subscriber.elements) instead of \(count)")
                ModelRuntime.expect(subscriber.ends == ends, "\(subscriber.ends)")
            }
        }

        static let requests = FlowModel(
            model: Model(
                "request 1, 1 | request 2 | request 1", setup: { Pull(9) },
                threads: [
                    { pull in
                        pull.subscription.request(1)
                        pull.subscription.request(1)
                    },
                    { $0.subscription.request(2) },
                    { $0.subscription.request(1) },
                ], check: { $0.expect(5) }))

        static let requestsFromInside = FlowModel(
            model: Model(
                "request 1, and 1 from inside each | request 1", setup: { Pull(6, ModelSubscriber(each: 1)) },
                threads: [{ $0.subscription.request(1) }, { $0.subscription.request(1) }],
                check: { $0.expect(6, ends: ["complete"]) }))

        static let requestsAndCancel = FlowModel(
            model: Model(
                "request 2 | request 1 | cancel", setup: { Pull(9) },
                threads: [
                    { $0.subscription.request(2) }, { $0.subscription.request(1) }, { $0.subscription.cancel() },
                ],
                check: { pull in
                    ModelRuntime.expect(pull.subscriber.elements.count <= 3, "too many")
                    ModelRuntime.expect(pull.subscriber.ends.isEmpty, "an end after cancel")
                }))

        static let invalid = FlowModel(
            model: Model(
                "request 0 | request 2", setup: { Pull(9) },
                threads: [{ $0.subscription.request(0) }, { $0.subscription.request(2) }],
                check: { pull in
                    ModelRuntime.expect(pull.subscriber.ends.count == 1, "\(pull.subscriber.ends)")
                }))

        static let endAndRequest = FlowModel(
            model: Model(
                "request 2 of 2 | request 1 | cancel", setup: { Pull(2) },
                threads: [
                    { $0.subscription.request(1) }, { $0.subscription.request(1) }, { $0.subscription.cancel() },
                ],
                check: { pull in
                    let elements = pull.subscriber.elements
                    ModelRuntime.expect(elements == Array(0..<elements.count), "\(elements)")
                    ModelRuntime.expect(pull.subscriber.ends.isEmpty || elements.count == 2, "ended too early")
                }))

        // MARK: The stage

        /// A window between an upstream that one thread plays and a subscriber that another one drives.
        final class WindowBench: @unchecked Sendable {
            let upstream = ModelUpstream()
            let subscriber: ModelSubscriber
            let stage: Stage<WindowMachine<Int>, ModelSubscriber>

            init(high: Int = 4) {
                subscriber = ModelSubscriber()
                stage = Stage(WindowMachine(Window(high: high, low: 1)), subscriber)
                stage.open { [stage, upstream] in StageSubscriber(stage).onSubscribe(upstream) }
            }

            func send(_ elements: Int...) { for element in elements { StageSubscriber(stage).onNext(element) } }
            func complete() { StageSubscriber(stage).onComplete() }

            func expect(_ elements: [Int], ends: [String] = []) {
                ModelRuntime.expect(subscriber.elements == elements, "\(subscriber.elements)")
                ModelRuntime.expect(subscriber.ends == ends, "\(subscriber.ends)")
            }
        }

        static let window = FlowModel(
            model: Model(
                "window: send 2 | request 1, 1", setup: { WindowBench() },
                threads: [
                    { $0.send(1, 2) },
                    { bench in
                        bench.stage.request(1)
                        bench.stage.request(1)
                    },
                ],
                check: { bench in
                    bench.expect([1, 2])
                    ModelRuntime.expect(bench.upstream.requested == 6, "\(bench.upstream.requested) requested")
                }))

        static let windowEnd = FlowModel(
            model: Model(
                "window: send, complete | request 1", setup: { WindowBench() },
                threads: [
                    { bench in
                        bench.send(1)
                        bench.complete()
                    }, { $0.stage.request(1) },
                ], check: { $0.expect([1], ends: ["complete"]) }))

        static let windowCancel = FlowModel(
            model: Model(
                "window: send | request 1 | cancel", setup: { WindowBench() },
                threads: [{ $0.send(1) }, { $0.stage.request(1) }, { $0.stage.cancel() }],
                check: { bench in
                    ModelRuntime.expect(bench.upstream.isCancelled, "upstream goes on")
                    ModelRuntime.expect(bench.subscriber.elements.count <= 1, "doubled")
                    ModelRuntime.expect(bench.subscriber.ends.isEmpty, "an end after cancel")
                }))

        static let mergeTwo = FlowModel(
            model: Model(
                "merge: emit, finish | emit, finish",
                setup: { () -> (ModelSubscriber, [Flow.Sink<Int>]) in
                    let sinks = [Flow.Sink<Int>(.unicast(capacity: 2)), Flow.Sink<Int>(.unicast(capacity: 2))]
                    let subscriber = ModelSubscriber(.unbounded)
                    sinks[0].merge(with: sinks[1], prefetch: 2).subscribe(subscriber)
                    return (subscriber, sinks)
                },
                threads: [
                    { bench in
                        bench.1[0].emit(1)
                        bench.1[0].finish()
                    },
                    { bench in
                        bench.1[1].emit(2)
                        bench.1[1].finish()
                    },
                ],
                check: { bench in
                    ModelRuntime.expect(bench.0.elements.sorted() == [1, 2], "\(bench.0.elements)")
                    ModelRuntime.expect(bench.0.ends == ["complete"], "\(bench.0.ends)")
                }))

        // MARK: Overflow

        final class OverflowBench: @unchecked Sendable {
            let upstream = ModelUpstream()
            let subscriber = ModelSubscriber()
            let stage: Stage<OverflowMachine<Int>, ModelSubscriber>
            let rules: OverflowRules<Int>
            private let dropped: Dropped

            /// Drops come from either thread.
            final class Dropped: @unchecked Sendable {
                let elements = LockedState<[Int]>([])
            }

            init(_ overflow: Flow.BufferOverflow, needsDemand: Bool = false) {
                let dropped = Dropped()
                self.dropped = dropped
                rules = OverflowRules(
                    capacity: 1, overflow: overflow, needsDemand: needsDemand, timeToLive: nil, timeSource: nil,
                    meter: nil, onDropped: { element, _ in dropped.elements.withLock { $0.append(element) } })
                stage = Stage(OverflowMachine(rules), subscriber)
                stage.open { [stage, rules, upstream] in OverflowSubscriber(stage, rules).onSubscribe(upstream) }
            }

            func send(_ elements: Int...) {
                for element in elements { OverflowSubscriber(stage, rules).onNext(element) }
            }

            /// Each element was sent, or dropped, or still waits: once.
            func expectAll(_ elements: [Int]) {
                let waiting = stage.ask { machine in
                    var waiting: [Int] = []
                    while let entry = machine.queue.popFirst() { waiting.append(entry.element) }
                    return waiting
                }
                ModelRuntime.expect(waiting.count <= rules.capacity, "\(waiting.count) wait")
                let all = subscriber.elements + dropped.elements.withLock { $0 } + waiting
                ModelRuntime.expect(all.sorted() == elements, "\(all) of \(elements)")
                ModelRuntime.expect(subscriber.elements == subscriber.elements.sorted(), "order")
            }
        }

        static let overflow = FlowModel(
            model: Model(
                "buffer of 1, newest: send 3 | request 1, 1", setup: { OverflowBench(.dropNewest) },
                threads: [
                    { $0.send(1, 2, 3) },
                    { bench in
                        bench.stage.request(1)
                        bench.stage.request(1)
                    },
                ], check: { $0.expectAll([1, 2, 3]) }))

        static let overflowEvicts = FlowModel(
            model: Model(
                "buffer of 1, oldest: send 3 | request 1", setup: { OverflowBench(.dropOldest) },
                threads: [{ $0.send(1, 2, 3) }, { $0.stage.request(1) }], check: { $0.expectAll([1, 2, 3]) }))

        static let overflowDrop = FlowModel(
            model: Model(
                "drop: send 2 | request 1", setup: { OverflowBench(.dropNewest, needsDemand: true) },
                threads: [{ $0.send(1, 2) }, { $0.stage.request(1) }], check: { $0.expectAll([1, 2]) }))

        static let overflowCancel = FlowModel(
            model: Model(
                "buffer of 1, oldest: send 2 | request 1 | cancel", setup: { OverflowBench(.dropOldest) },
                threads: [{ $0.send(1, 2) }, { $0.stage.request(1) }, { $0.stage.cancel() }],
                check: { $0.expectAll([1, 2]) }))

        // MARK: The prefix

        static let prefix = FlowModel(
            model: Model(
                "prefix 3: request 2 | request 2 | request 1",
                setup: { () -> (ModelUpstream, PrefixSubscription) in
                    let upstream = ModelUpstream()
                    return (upstream, PrefixSubscription(upstream, 3))
                },
                threads: [{ $0.1.request(2) }, { $0.1.request(2) }, { $0.1.request(1) }],
                check: { bench in
                    ModelRuntime.expect(bench.0.requested == 3, "\(bench.0.requested) requested of 3")
                }))
    }
#endif
