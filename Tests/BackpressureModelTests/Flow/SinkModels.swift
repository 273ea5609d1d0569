// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The sink under the model checker: emitters, subscribers, ends and cancellations at once, in every schedule.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker

    enum SinkModels {
        static let all = [
            two, asked, subscribers, allOrNothing, bestEffort, finishing, finishedTwice, finishedBefore, late, twice,
            cancelling, cancelledFirst, early, joining,
        ]

        final class SinkBench: @unchecked Sendable {
            let sink: Flow.Sink<Int>
            let meter = Flow.DropMeter()
            private let joined = LockedState<[ModelSubscriber]>([])
            private let results: LockedState<[Int: Flow.EmitResult]> = LockedState([:])

            var subscribers: [ModelSubscriber] { joined.withLock { $0 } }

            init(_ delivery: Flow.SinkDelivery, demands: [Demand]) {
                sink = Flow.Sink(delivery, meter: meter)
                for demand in demands { subscribe(demand) }
            }

            func subscribe(_ demand: Demand) {
                let subscriber = ModelSubscriber(demand)
                joined.withLock { $0.append(subscriber) }
                sink.subscribe(subscriber)
            }

            func count(_ result: Flow.EmitResult) -> Int { results.withLock { $0.values.count { $0 == result } } }

            func result(of element: Int) -> Flow.EmitResult? { results.withLock { $0[element] } }

            func emit(_ elements: Int...) {
                for element in elements {
                    let result = sink.emit(element)
                    results.withLock { $0[element] = result }
                }
            }

            /// All subscribers with demand got what was taken, in one order, each emitter's elements in its own.
            func expectTaken(of subscribers: [Int]? = nil) {
                let taken = results.withLock { $0 }.filter { $0.value == .ok }.keys.sorted()
                let chosen = subscribers.map { $0.map { self.subscribers[$0] } } ?? self.subscribers
                for subscriber in chosen {
                    ModelRuntime.expect(subscriber.elements.sorted() == taken, "\(subscriber.elements) of \(taken)")
                    ModelRuntime.expect(subscriber.elements == chosen[0].elements, "two orders")
                    for tens in 0..<4 {
                        let own = subscriber.elements.filter { $0 / 10 == tens }
                        ModelRuntime.expect(own == own.sorted(), "order of emitter \(tens): \(own)")
                    }
                }
            }
        }

        static let two = FlowModel(
            model: Model(
                "sink: emit 2 | emit 1", setup: { SinkBench(.unicast(capacity: 4), demands: [.unbounded]) },
                threads: [{ $0.emit(1, 2) }, { $0.emit(11) }],
                check: { bench in
                    bench.expectTaken()
                    ModelRuntime.expect(bench.subscribers[0].elements.count == 3, "something was refused")
                }))

        static let asked = FlowModel(
            model: Model(
                "sink of 1: emit | emit | request 1", setup: { SinkBench(.unicast(capacity: 1), demands: [1]) },
                threads: [{ $0.emit(1) }, { $0.emit(11) }, { $0.subscribers[0].subscription?.request(1) }],
                check: { $0.expectTaken() }))

        static let subscribers = FlowModel(
            model: Model(
                "sink, 2 subscribers, capacity 1: emit | emit",
                setup: { SinkBench(.buffered(capacity: 1), demands: [.unbounded, .unbounded]) },
                threads: [{ $0.emit(1) }, { $0.emit(11) }], check: { $0.expectTaken() }))

        static let allOrNothing = FlowModel(
            model: Model(
                "sink, all or nothing, demands 1 and 2: emit | emit",
                setup: { SinkBench(.allOrNothing, demands: [1, 2]) },
                threads: [{ $0.emit(1) }, { $0.emit(11) }],
                check: { bench in
                    bench.expectTaken()
                    ModelRuntime.expect(bench.subscribers[0].elements.count == 1, "not one taken")
                }))

        static let finishing = FlowModel(
            model: Model(
                "sink: emit | finish", setup: { SinkBench(.unicast(capacity: 2), demands: [.unbounded]) },
                threads: [{ $0.emit(1) }, { $0.sink.finish() }],
                check: { bench in
                    bench.expectTaken()
                    ModelRuntime.expect(bench.subscribers[0].ends == ["complete"], "\(bench.subscribers[0].ends)")
                }))

        static let cancelling = FlowModel(
            model: Model(
                "sink: emit | cancel", setup: { SinkBench(.buffered(capacity: 2), demands: [.unbounded]) },
                threads: [{ $0.emit(1) }, { $0.subscribers[0].subscription?.cancel() }],
                check: { bench in
                    ModelRuntime.expect(bench.subscribers[0].elements.count <= 1, "doubled")
                    ModelRuntime.expect(bench.sink.subscriberCount == 0, "still there")
                }))

        static let bestEffort = FlowModel(
            model: Model(
                "sink, best effort, demands 1 and 2: emit | emit",
                setup: { SinkBench(.bestEffort, demands: [1, 2]) },
                threads: [{ $0.emit(1) }, { $0.emit(11) }],
                check: { bench in
                    bench.expectTaken(of: [1])
                    ModelRuntime.expect(bench.count(.ok) == 2, "one had asked for it, and it was refused")
                    ModelRuntime.expect(bench.subscribers[0].elements.count == 1, "not what was asked for")
                    ModelRuntime.expect(bench.meter.total == 1, "\(bench.meter.total) missed")
                }))

        static let finishedTwice = FlowModel(
            model: Model(
                "sink: finish | fail", setup: { SinkBench(.unicast(capacity: 2), demands: [0]) },
                threads: [{ $0.sink.finish() }, { $0.sink.finish(throwing: Flow.AlreadySubscribed()) }],
                check: { bench in
                    ModelRuntime.expect(bench.subscribers[0].ends.count == 1, "\(bench.subscribers[0].ends)")
                }))

        static let finishedBefore = FlowModel(
            model: Model(
                "sink: finish, emit | emit", setup: { SinkBench(.buffered(capacity: 2), demands: [.unbounded]) },
                threads: [
                    { bench in
                        bench.sink.finish()
                        bench.emit(1)
                    }, { $0.emit(11) },
                ],
                check: { bench in
                    bench.expectTaken()
                    ModelRuntime.expect(bench.result(of: 1) == .terminated, "taken after the end")
                    ModelRuntime.expect(bench.subscribers[0].ends == ["complete"], "\(bench.subscribers[0].ends)")
                }))

        static let late = FlowModel(
            model: Model(
                "sink of 1, nobody yet: emit 2 | subscribe", setup: { SinkBench(.unicast(capacity: 1), demands: []) },
                threads: [{ $0.emit(1, 2) }, { $0.subscribe(.unbounded) }],
                check: { bench in
                    bench.expectTaken()
                    ModelRuntime.expect(bench.result(of: 1) == .ok, "the first was refused")
                    let refused = bench.result(of: 2)
                    ModelRuntime.expect(refused == .ok || refused == .overflow, "\(String(describing: refused))")
                    ModelRuntime.expect(bench.sink.maximumLag == 0, "some waits for nobody")
                }))

        static let early = FlowModel(
            model: Model(
                "sink of 2, nobody yet: emit, emit | emit, then subscribe",
                setup: { SinkBench(.unicast(capacity: 2), demands: []) },
                threads: [{ $0.emit(1, 2) }, { $0.emit(11) }],
                check: { bench in
                    ModelRuntime.expect(bench.count(.ok) == 2 && bench.count(.overflow) == 1, "the bound")
                    bench.sink.finish()
                    bench.subscribe(.unbounded)
                    bench.expectTaken()
                    ModelRuntime.expect(bench.subscribers[0].ends == ["complete"], "\(bench.subscribers[0].ends)")
                }))

        static let twice = FlowModel(
            model: Model(
                "sink: subscribe | subscribe | emit", setup: { SinkBench(.unicast(capacity: 1), demands: []) },
                threads: [{ $0.subscribe(.unbounded) }, { $0.subscribe(.unbounded) }, { $0.emit(1) }],
                check: { bench in
                    let refused = bench.subscribers.filter { !$0.ends.isEmpty }
                    ModelRuntime.expect(refused.count == 1, "\(refused.count) of two refused")
                    let elements = bench.subscribers.flatMap(\.elements)
                    ModelRuntime.expect(elements == [1], "\(elements)")
                }))

        static let joining = FlowModel(
            model: Model(
                "sink, one subscribed: emit, emit | subscribe",
                setup: { SinkBench(.buffered(capacity: 2), demands: [.unbounded]) },
                threads: [{ $0.emit(1, 2) }, { $0.subscribe(.unbounded) }],
                check: { bench in
                    bench.expectTaken(of: [0])
                    ModelRuntime.expect(bench.subscribers[0].elements == [1, 2], "the first missed some")
                    let joined = bench.subscribers[1].elements
                    ModelRuntime.expect([[1, 2], [2], []].contains(joined), "\(joined)")
                }))

        static let cancelledFirst = FlowModel(
            model: Model(
                "sink: cancel, emit | emit", setup: { SinkBench(.unicast(capacity: 1), demands: [.unbounded]) },
                threads: [
                    { bench in
                        bench.subscribers[0].subscription?.cancel()
                        bench.emit(1)
                    }, { $0.emit(11) },
                ],
                check: { bench in
                    // While the other thread sends, the cancellation is on its way; what is taken then is dropped, and
                    // counted.
                    let gone = bench.meter.total + UInt64(bench.subscribers[0].elements.count)
                    ModelRuntime.expect(bench.count(.ok) == Int(gone), "\(bench.count(.ok)) taken, \(gone) gone")
                    ModelRuntime.expect(bench.sink.emit(2) == .cancelled, "taken, and nobody is there")
                }))
    }
#endif
