// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The bounded task group: a sequence through an asynchronous function, with at most so many calls at once.
//
// ## Algorithm
// A task group in which a child is started for each of the first `limit` elements, and then one for each child that ended.
// Everything is structured: when the call returns or throws, no child is left.

/// In which order results come out.
public struct ConcurrentOrder: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        case input
        case completion
    }

    let kind: Kind

    /// As the elements went in: a slow one holds back the results behind it.
    public static let input = ConcurrentOrder(kind: .input)

    /// As the results become ready.
    public static let completion = ConcurrentOrder(kind: .completion)
}

extension Sequence where Element: Sendable {
    /// Transforms every element, at most `limit` of them at once.
    ///
    /// When one call throws, the others are cancelled and waited for, and its error is thrown. Cancelling the calling task
    /// cancels the calls that run and those that follow; what that means is up to `transform`.
    ///
    /// ```swift
    /// let pages = await ["a", "b", "c"].mapConcurrent(limit: 2) { name in
    ///     await download(name)
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - limit: How many calls run at once, at least 1.
    ///   - order: In which order the results stand in the array.
    ///   - transform: What is done with an element, in a child task.
    /// - Returns: The results.
    /// - Throws: The first error that a call threw.
    /// - Precondition: `limit >= 1`.
    public nonisolated(nonsending) func mapConcurrent<Value: Sendable, Failure: Error>(
        limit: Int, order: ConcurrentOrder = .input,
        _ transform: @escaping @Sendable (Element) async throws(Failure) -> Value
    ) async throws(Failure) -> [Value] {
        precondition(limit >= 1, "at least 1 call runs at once, not \(limit)")
        typealias Numbered = (index: Int, result: Result<Value, Failure>)
        let results = await withTaskGroup(of: Numbered.self, returning: Result<[Value], Failure>.self) { group in
            var iterator = makeIterator()
            var ready: [Value?] = []
            var (started, running) = (0, 0)
            while true {
                if running < limit, let element = iterator.next() {
                    let index = started
                    group.addTask { (index, await outcome(of: transform, element)) }
                    started += 1
                    running += 1
                    if order == .input { ready.append(nil) }
                    continue
                }
                guard let (index, result) = await group.next() else { break }
                running -= 1
                switch result {
                case .success(let value):
                    if order == .input { ready[index] = value } else { ready.append(value) }
                case .failure(let error):
                    group.cancelAll()
                    return .failure(error)
                }
            }
            return .success(ready.compactMap(\.self))
        }
        return try results.get()
    }

    /// Calls `body` with every element, at most `limit` of them at once, and returns when all calls have ended.
    ///
    /// As `mapConcurrent(limit:order:_:)`, without results.
    ///
    /// - Parameters:
    ///   - limit: How many calls run at once, at least 1.
    ///   - body: What is done with an element, in a child task.
    /// - Throws: The first error that a call threw.
    /// - Precondition: `limit >= 1`.
    public nonisolated(nonsending) func forEachConcurrent<Failure: Error>(
        limit: Int, _ body: @escaping @Sendable (Element) async throws(Failure) -> Void
    ) async throws(Failure) {
        precondition(limit >= 1, "at least 1 call runs at once, not \(limit)")
        let failure = await withTaskGroup(of: Result<Void, Failure>.self, returning: Failure?.self) { group in
            var iterator = makeIterator()
            var running = 0
            while true {
                if running < limit, let element = iterator.next() {
                    group.addTask { await outcome(of: body, element) }
                    running += 1
                    continue
                }
                guard let result = await group.next() else { return nil }
                running -= 1
                if case .failure(let error) = result {
                    group.cancelAll()
                    return error
                }
            }
        }
        if let failure { throw failure }
    }
}

/// A call as a value.
private nonisolated(nonsending) func outcome<Element, Value, Failure: Error>(
    of transform: (Element) async throws(Failure) -> Value, _ element: Element
) async -> Result<Value, Failure> {
    do throws(Failure) {
        return .success(try await transform(element))
    } catch {
        return .failure(error)
    }
}
