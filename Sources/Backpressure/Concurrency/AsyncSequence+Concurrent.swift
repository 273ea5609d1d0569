// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// An asynchronous sequence through an asynchronous function, with at most so many elements on the way.
//
// ## Algorithm
// A driver task takes a permit of a semaphore, reads an element of the base, and starts a child for it. The child puts its
// result on the out tray, in order or as it comes; from there it goes through a channel to the consumer, who gives the permit
// back. So the base is read no faster than the results are taken, and a result never waits for the next element of the base.
//
// ## Invariants
// I1  Elements read and not yet taken by the consumer <= limit: each has a permit.
// I2  The channel has room for `limit` results, so nothing that has a permit is refused by it.
// I3  One at a time empties the tray (`isEmptying`), so results leave in its order; nothing is sent under its lock.

/// The results of `mapConcurrent(limit:order:_:)` on an asynchronous sequence.
public struct AsyncMapConcurrentSequence<Base: AsyncSequence & Sendable, Value: Sendable>: AsyncSequence, Sendable
where Base.Element: Sendable {
    let base: Base
    let limit: Int
    let order: ConcurrentOrder
    let transform: @Sendable (Base.Element) async throws -> Value

    /// The results that have not been taken yet.
    ///
    /// The first call of `next` starts the work; when the iterator goes, the work is cancelled.
    public struct AsyncIterator: AsyncIteratorProtocol {
        private let sequence: AsyncMapConcurrentSequence
        private var conveyor: Conveyor<Value>?

        init(_ sequence: AsyncMapConcurrentSequence) { self.sequence = sequence }

        /// The next result, nil at the end.
        ///
        /// - Parameter actor: Where the caller runs.
        /// - Returns: The next result, nil at the end.
        /// - Throws: What the base or a call threw, once the results before it have been taken; `CancellationError`
        ///   when the calling task is cancelled while it waits.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Value? {
            let conveyor = conveyor ?? Conveyor(limit: sequence.limit, order: sequence.order)
            if self.conveyor == nil {
                self.conveyor = conveyor
                conveyor.start(sequence.base, sequence.transform)
            }
            return try await conveyor.take()
        }

        /// The next result, nil at the end.
        ///
        /// - Returns: The next result, nil at the end.
        /// - Throws: As ``next(isolation:)``.
        public mutating func next() async throws -> Value? { try await next(isolation: nil) }
    }

    /// An iterator, which starts its own pass over the base.
    ///
    /// - Returns: The iterator.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(self) }
}

extension AsyncSequence where Self: Sendable, Element: Sendable {
    /// The results of transforming every element, at most `limit` of them on the way at once.
    ///
    /// An element is on the way from when it was read until its result has been taken, so the base is read no faster than
    /// the results are used. The first error, of the base or a call, ends the sequence after the results before it, and
    /// cancels the calls that run. When the iterator goes, all work is cancelled.
    ///
    /// ```swift
    /// for try await size in names.mapConcurrent(limit: 4, { name in await measure(name) }) {
    ///     total += size
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - limit: How many elements are on the way at once, at least 1.
    ///   - order: In which order the results come out.
    ///   - transform: What is done with an element, in a task of its own.
    /// - Returns: A sequence of results.
    /// - Precondition: `limit >= 1`.
    public func mapConcurrent<Value: Sendable>(
        limit: Int, order: ConcurrentOrder = .input,
        _ transform: @escaping @Sendable (Element) async throws -> Value
    ) -> AsyncMapConcurrentSequence<Self, Value> {
        precondition(limit >= 1, "at least 1 call runs at once, not \(limit)")
        return AsyncMapConcurrentSequence(base: self, limit: limit, order: order, transform: transform)
    }
}

// MARK: - The work

/// What connects the driver, its children and the consumer.
private final class Conveyor<Value: Sendable>: Sendable {
    private let line: ConveyorLine<Value>
    private let driver = LockedState<Task<Void, Never>?>(nil)

    init(limit: Int, order: ConcurrentOrder) { line = ConveyorLine(limit: limit, order: order) }

    deinit {
        driver.withLock { $0 }?.cancel()
        line.channel.cancel()
    }

    /// The driver holds the line and not this: so that the iterator's end is the end of this.
    func start<Base: AsyncSequence & Sendable>(
        _ base: Base, _ transform: @escaping @Sendable (Base.Element) async throws -> Value
    ) where Base.Element: Sendable {
        let line = line
        let task = Task { await line.run(base, transform) }
        driver.withLock { $0 = task }
    }

    nonisolated(nonsending) func take() async throws -> Value? {
        do throws(ReceiveError<any Error>) {
            let value = try await line.channel.receive()
            if value != nil { line.slots.release() }
            return value
        } catch {
            switch error {
            case .failed(let failure): throw failure
            case .rejected: throw CancellationError()
            }
        }
    }
}

/// The tray, and the ways to it and from it.
private final class ConveyorLine<Value: Sendable>: Sendable {
    /// Results with their numbers, at most `limit`; the next to leave is `next`.
    private struct Tray: Sendable {
        var ready: [Int: Result<Value, any Error>] = [:]
        var next = 0
        var isEmptying = false
    }

    let channel: BoundedChannel<Value, any Error>
    let slots: AsyncSemaphore
    private let order: ConcurrentOrder
    private let tray = LockedState(Tray())

    init(limit: Int, order: ConcurrentOrder) {
        channel = BoundedChannel(capacity: limit)
        slots = AsyncSemaphore(permits: limit)
        self.order = order
    }

    func run<Base: AsyncSequence>(
        _ base: Base, _ transform: @escaping @Sendable (Base.Element) async throws -> Value
    ) async where Base.Element: Sendable {
        let failure = await withDiscardingTaskGroup(returning: (any Error)?.self) { group in
            var iterator = base.makeAsyncIterator()
            var number = 0
            do {
                while !Task.isCancelled {
                    // The consumer gives it back.
                    try await slots.acquire().forget()
                    guard let element = try await iterator.next(isolation: #isolation) else { return nil }
                    let index = number
                    number += 1
                    group.addTask {
                        do {
                            self.put(.success(try await transform(element)), index)
                        } catch {
                            self.put(.failure(error), index)
                        }
                    }
                }
                group.cancelAll()
                return nil
            } catch {
                group.cancelAll()
                return error is AcquireError ? nil : error
            }
        }
        if let failure { channel.finish(throwing: failure) } else { channel.finish() }
    }

    /// A call has ended.
    private func put(_ result: Result<Value, any Error>, _ index: Int) {
        let mustEmpty = tray.withLock { tray in
            tray.ready[order == .input ? index : tray.next + tray.ready.count] = result
            if tray.isEmptying { return false }
            tray.isEmptying = true
            return true
        }
        if mustEmpty { empty() }
    }

    /// Sends off what is ready and next, until nothing is.
    private func empty() {
        while true {
            let result: Result<Value, any Error>? = tray.withLock { tray in
                let result = tray.ready.removeValue(forKey: tray.next)
                if result == nil { tray.isEmptying = false } else { tray.next += 1 }
                return result
            }
            guard let result else { return }
            switch result {
            case .success(let value): _ = channel.trySend(value)
            case .failure(let error):
                channel.finish(throwing: error)
                slots.close()
            }
        }
    }
}
