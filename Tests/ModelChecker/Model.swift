// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What is explored: a scenario of two to eight threads over shared state that is made afresh for each execution.

/// One execution's worth of closures: the threads, and what must hold after all of them have finished.
public struct Scenario {
    /// The bodies, explored in every order of their steps.
    public var threads: [() -> Void]
    /// Runs once, alone, after the last thread has finished.
    public var check: () -> Void
    /// Runs once, in one piece, when threads are left that can all not move.
    ///
    /// It judges whether they wait rightly, and ends their waits. Without it that is a deadlock; after it, too.
    public var rescue: (() -> Void)?

    /// A scenario of `threads`, and a check of the outcome that reports through `ModelRuntime.fail(_:)`.
    public init(threads: [() -> Void], check: @escaping () -> Void = {}, rescue: (() -> Void)? = nil) {
        self.threads = threads
        self.rescue = rescue
        self.check = check
    }
}

/// A named recipe for scenarios.
///
/// The recipe runs once per execution, alone, before the threads; what it makes is shared by the closures it returns.
/// It must be deterministic: the same choices of the scheduler must lead to the same steps.
public struct Model: Sendable, CustomStringConvertible {
    /// The name, for test output.
    public let name: String
    let build: @Sendable () -> Scenario

    /// A model whose state and threads are made by one closure.
    public init(_ name: String, _ build: @escaping @Sendable () -> Scenario) {
        self.name = name
        self.build = build
    }

    /// A model whose threads and check are given the state that `setup` made.
    public init<State>(
        _ name: String,
        setup: @escaping @Sendable () -> State,
        threads: [@Sendable (State) -> Void],
        check: @escaping @Sendable (State) -> Void = { _ in },
        rescue: (@Sendable (State) -> Void)? = nil
    ) {
        self.init(name) {
            let state = setup()
            return Scenario(
                threads: threads.map { body in { body(state) } },
                check: { check(state) },
                rescue: rescue.map { rescue in { rescue(state) } })
        }
    }

    /// The name.
    public var description: String { name }
}
