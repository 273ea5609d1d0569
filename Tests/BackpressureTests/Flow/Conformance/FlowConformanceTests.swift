// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every source and operator of the table against every rule. A row without a verification is red.

import BackpressureTestKit
import Testing

@testable import Backpressure

/// The stages by the names of their rows.
private enum Subjects {
    typealias Subject = @Sendable () async -> [CheckOutcome]

    static let all: [String: Subject] = [
        "sequence": verify({ Flow.sequence(Array(0..<$0)) }),
        "range": verify({ Flow.range(0..<$0) }),
        "just": verify(
            { Flow.just($0) },
            adjust: {
                $0.maximumElements = 1
                $0.canBeEmpty = false
            }),
        "empty": verify({ _ in Flow.empty(Int.self) }, adjust: { $0.maximumElements = 0 }),
        "fail": verify({ Flow.range(0..<$0) }, failed: { Flow.fail(Boom(), Int.self) }),
        "asyncSequence.publisher": verifyTasks(failed: { FailingSequence().publisher(on: $0.executor) }) {
            environment in
            { CountingSequence(count: $0).publisher(on: environment.executor) }
        },
        "channel.publisher": verifyTasks(
            failed: { environment in
                let channel = BoundedChannel<Int, Boom>(capacity: 1)
                channel.finish(throwing: Boom())
                return channel.publisher(on: environment.executor)
            },
            adjust: {
                $0.maximumSubscribers = 1
                $0.stopsAtOnce = false
            }
        ) { environment in
            { count in
                let channel = BoundedChannel<Int, Never>(capacity: max(count, 1))
                for number in 0..<count { _ = channel.trySend(number) }
                channel.finish()
                return channel.publisher(on: environment.executor)
            }
        },
        "Sink.unicast": verify(
            { count in
                let sink = Flow.Sink<Int>(.unicast(capacity: max(count, 1)))
                for number in 0..<count { sink.emit(number) }
                sink.finish()
                return sink
            }, failed: { failedSink(.unicast(capacity: 1)) }, adjust: { $0.maximumSubscribers = 1 }),
        "Sink.bestEffort": verify({ fedSink(.bestEffort, $0) }, failed: { failedSink(.bestEffort) }),
        "Sink.allOrNothing": verify({ fedSink(.allOrNothing, $0) }, failed: { failedSink(.allOrNothing) }),
        "Sink.buffered": verify(
            { fedSink(.buffered(capacity: 100), $0) }, failed: { failedSink(.buffered(capacity: 1)) }),
        "SubmissionPublisher": verifyTasks(failed: { environment in
            let publisher = Flow.SubmissionPublisher<Int>(capacity: 4, clock: environment.clock)
            publisher.finish(throwing: Boom())
            return publisher
        }) { environment in
            { count in
                FedPublisher<Int> { subscriber in
                    let publisher = Flow.SubmissionPublisher<Int>(capacity: 4, clock: environment.clock)
                    publisher.subscribe(subscriber)
                    Task(executorPreference: environment.executor) {
                        for number in 0..<count { _ = await publisher.submit(number) }
                        publisher.finish()
                    }
                    return { _ in }
                }
            }
        },
        "MulticastProcessor": verify(
            { count in
                fed(count) { source in
                    let processor = Flow.MulticastProcessor<Int>(capacity: 8)
                    source.subscribe(processor)
                    return processor
                }
            },
            failed: {
                let processor = Flow.MulticastProcessor<Int>(capacity: 8)
                failure.subscribe(processor)
                return processor
            }),

        "map": verify({ Flow.range(0..<$0).map { $0 } }, failed: { failure.map { $0 } }),
        "tryMap": verify(
            { Flow.range(0..<$0).tryMap { $0 } },
            failed: {
                Flow.just(1).tryMap { _ in throw Boom() }
                    as Flow.TryMap<Flow.SequencePublisher<CollectionOfOne<Int>>, Int>
            }),
        "compactMap": verify(
            { Flow.range(0..<(2 * $0)).compactMap { $0 % 2 == 0 ? $0 : nil } }, failed: { failure.compactMap { $0 } }),
        "filter": verify({ Flow.range(0..<(2 * $0)).filter { $0 % 2 == 1 } }, failed: { failure.filter { _ in true } }),
        "scan": verify({ Flow.range(0..<$0).scan(0) { $0 + $1 } }, failed: { failure.scan(0) { $0 + $1 } }),
        "prefix": verify({ Flow.range(0..<($0 + 10)).prefix($0) }, failed: { failure.prefix(3) }),
        "flatMap": verify(
            { Flow.range(0..<$0).flatMap(maxConcurrency: 2, prefetch: 2) { Flow.just($0) } },
            failed: { failure.flatMap(maxConcurrency: 2) { Flow.just($0) } }),
        "concatMap": verify(
            { Flow.range(0..<$0).concatMap(prefetch: 2) { Flow.just($0) } },
            failed: { failure.concatMap { Flow.just($0) } }),
        "merge": verify(
            { Flow.range(0..<($0 / 2)).merge(with: Flow.range(($0 / 2)..<$0), prefetch: 4) },
            failed: { Flow.range(0..<0).merge(with: failure) }),
        "zip": verify(
            { Flow.range(0..<$0).zip(with: Flow.range(0..<($0 + 3)), prefetch: 4).map { $0.0 } },
            failed: { failure.zip(with: Flow.range(0..<3)).map { $0.0 } }),
        "buffer": verify(
            { Flow.range(0..<(2 * $0)).buffer(2).map { $0[0] } }, failed: { failure.buffer(2).map { $0[0] } }),
        "buffer(linger:)": verify(
            { Flow.range(0..<(2 * $0)).buffer(2, linger: .seconds(1), clock: ManualClock()).map { $0[0] } },
            failed: { failure.buffer(2, linger: .seconds(1), clock: ManualClock()).map { $0[0] } }),
        "limitRate": verify({ Flow.range(0..<$0).limitRate(4) }, failed: { failure.limitRate(4) }),
        "receive(on:)": verifyTasks(failed: { failure.receive(on: $0.executor, prefetch: 4) }) { environment in
            { Flow.range(0..<$0).receive(on: environment.executor, prefetch: 4) }
        },
        "onBackpressureBuffer": verify(
            { Flow.range(0..<$0).onBackpressureBuffer(max($0, 1), overflow: .fail) },
            failed: { failure.onBackpressureBuffer(4, overflow: .fail) }),
        "onBackpressureDrop": verify(
            { count in fed(count) { $0.onBackpressureDrop() } }, failed: { failure.onBackpressureDrop() }),
        "onBackpressureLatest": verify(
            { count in fed(count) { $0.onBackpressureLatest() } }, failed: { failure.onBackpressureLatest() }),
        "onBackpressureError": verify(
            { count in fed(count) { $0.onBackpressureError() } }, failed: { failure.onBackpressureError() }),
        "conflate": verify({ count in fed(count) { $0.conflate { $1 } } }, failed: { failure.conflate { $1 } }),
        "mapAsync": verifyTasks(failed: { failure.mapAsync(limit: 2, on: $0.executor) { $0 } }) { environment in
            { Flow.range(0..<$0).mapAsync(limit: 2, on: environment.executor) { $0 } }
        },
        "throttle": verifyTasks(failed: { failure.throttle(on: $0.executor) {} }) { environment in
            { Flow.range(0..<$0).throttle(on: environment.executor) {} }
        },
        "timeout": verify(
            { Flow.range(0..<$0).timeout(idle: .seconds(10), clock: ManualClock()) },
            failed: { failure.timeout(idle: .seconds(10), clock: ManualClock()) }),
        "retry": verify({ Flow.range(0..<$0).retry(1) }, failed: { failure.retry(1) }),
        "values": verifyTasks(
            failed: { FailedValues().publisher(on: $0.executor) }, adjust: { $0.stopsAtOnce = false }
        ) { environment in
            { RangeValues(count: $0).publisher(on: environment.executor) }
        },
    ]

    struct Boom: Error {}

    static var failure: Flow.Fail<Int> { Flow.fail(Boom(), Int.self) }

    static func verify<P: Flow.Publisher<Int>>(
        _ make: @escaping @Sendable (Int) -> P,
        adjust: @escaping @Sendable (inout PublisherVerification<Int>) -> Void = { _ in }
    ) -> Subject {
        {
            var verification = PublisherVerification<Int>(.deterministic) { make(Int($0)) }
            adjust(&verification)
            return await verification.outcomes()
        }
    }

    static func verify<P: Flow.Publisher<Int>, F: Flow.Publisher<Int>>(
        _ make: @escaping @Sendable (Int) -> P, failed: @escaping @Sendable () -> F,
        adjust: @escaping @Sendable (inout PublisherVerification<Int>) -> Void = { _ in }
    ) -> Subject {
        {
            var verification = PublisherVerification<Int>(
                .deterministic, makePublisher: { make(Int($0)) }, makeFailedPublisher: failed)
            adjust(&verification)
            return await verification.outcomes()
        }
    }

    /// Stages with tasks: these run on the executor of the environment.
    static func verifyTasks<P: Flow.Publisher<Int>, F: Flow.Publisher<Int>>(
        failed: @escaping @Sendable (VerificationEnvironment) -> F,
        adjust: @escaping @Sendable (inout PublisherVerification<Int>) -> Void = { _ in },
        _ make: @escaping @Sendable (VerificationEnvironment) -> @Sendable (Int) -> P
    ) -> Subject {
        {
            let environment = VerificationEnvironment.deterministic
            let makePublisher = make(environment)
            var verification = PublisherVerification<Int>(
                environment, makePublisher: { makePublisher(Int($0)) }, makeFailedPublisher: { failed(environment) })
            adjust(&verification)
            return await verification.outcomes()
        }
    }

    static func fed<P: Flow.Publisher<Int>>(
        _ count: Int, _ stage: @escaping @Sendable (TestPublisher<Int>) -> P
    ) -> FedPublisher<Int> {
        FedPublisher { subscriber in
            let source = TestPublisher<Int>()
            stage(source).subscribe(subscriber)
            let feeder = Feeder(count, send: { source.send($0) }, finish: { source.complete() })
            return { feeder.feed($0) }
        }
    }

    static func failedSink(_ delivery: Flow.SinkDelivery) -> Flow.Sink<Int> {
        let sink = Flow.Sink<Int>(delivery)
        sink.finish(throwing: Boom())
        return sink
    }

    static func fedSink(_ delivery: Flow.SinkDelivery, _ count: Int) -> FedPublisher<Int> {
        FedPublisher { subscriber in
            let sink = Flow.Sink<Int>(delivery)
            sink.subscribe(subscriber)
            let feeder = Feeder(count, send: { sink.emit($0) }, finish: { sink.finish() })
            return { feeder.feed($0) }
        }
    }

    /// A range, as the values of a publisher.
    struct RangeValues: AsyncSequence, Sendable {
        typealias Values = Flow.Values<Flow.SequencePublisher<Range<Int>>>
        typealias Element = Int
        typealias Failure = Values.Failure
        let count: Int

        func makeAsyncIterator() -> Values.AsyncIterator {
            Flow.range(0..<count).values(prefetch: 4).makeAsyncIterator()
        }
    }

    /// A publisher that fails, as values.
    struct FailedValues: AsyncSequence, Sendable {
        typealias Values = Flow.Values<Flow.Fail<Int>>
        typealias Element = Int
        typealias Failure = Values.Failure

        func makeAsyncIterator() -> Values.AsyncIterator { failure.values(prefetch: 4).makeAsyncIterator() }
    }

    /// A sequence whose first element is an error.
    struct FailingSequence: AsyncSequence, Sendable {
        typealias Element = Int
        typealias Failure = any Error

        struct AsyncIterator: AsyncIteratorProtocol {
            func next() async throws -> Int? { throw Boom() }
        }

        func makeAsyncIterator() -> AsyncIterator { AsyncIterator() }
    }

    struct CountingSequence: AsyncSequence, Sendable {
        typealias Element = Int
        typealias Failure = Never
        let count: Int

        struct AsyncIterator: AsyncIteratorProtocol {
            var next = 0
            let count: Int

            mutating func next() async -> Int? {
                guard next < count else { return nil }
                next += 1
                return next - 1
            }
        }

        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(count: count) }
    }
}

@Suite("flow: conformance", .timeLimit(.minutes(10)))
struct FlowConformanceTests {
    @Test("every rule, for every row of the table", arguments: OperatorTable.rows.map(\.name))
    func row(_ name: String) async throws {
        let subject = try #require(Subjects.all[name], "no verification of \(name)")
        let outcomes = await subject()
        let violations = outcomes.flatMap(\.violations)
        #expect(violations.isEmpty, "\(name): \(violations.map(\.description).joined(separator: "; "))")
        let made = outcomes.count { $0.skipped == nil }
        print("conformance \(name): \(made) checks made, \(outcomes.count - made) do not apply")
        #expect(made >= 1)
        // What can fail is checked failing: only these cannot.
        let cannotFail: Set = ["sequence", "range", "just", "empty"]
        #expect(outcomes.contains { $0.skipped == "no failed publisher was given" } == cannotFail.contains(name))
    }

    @Test("a multicast processor keeps the contracts of both its sides")
    func processor() async {
        var verification = ProcessorVerification<Int>(.deterministic, makeElement: { $0 }) {
            Flow.MulticastProcessor<Int>(capacity: 8)
        }
        verification.maximumSubscribers = 5
        verification.prefetch = 8
        let outcomes = await verification.outcomes()
        let violations = outcomes.flatMap(\.violations)
        #expect(violations.isEmpty, "\(violations.map(\.description).joined(separator: "; "))")
        let made = outcomes.count { $0.skipped == nil }
        print("conformance of a processor: \(made) checks made, \(outcomes.count - made) do not apply")
        #expect(made >= 50)
    }

    @Test("no verification is of a stage without a row")
    func everyVerificationHasARow() {
        #expect(Set(Subjects.all.keys) == Set(OperatorTable.rows.map(\.name)))
    }
}
