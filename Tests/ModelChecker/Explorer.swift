// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The model checker: runs a model in every order of its atomic steps and reports the first thing that goes wrong.
//
// ## How to write a model
//     let model = Model("two adds", setup: { Counter() }, threads: [{ $0.add() }, { $0.add() }]) { counter in
//         ModelRuntime.expect(counter.value == 2, "lost an update: \(counter.value)")
//     }
//     let exploration = Explorer.explore(model)
//     #expect(exploration.exhausted, "\(exploration)")
// 1. Two to four threads (eight at most) of one or two operations each: the work grows exponentially.
// 2. Everything shared goes through the core's shim or `ModelRuntime`: atomics, locks, and `plainRead`/`plainWrite`
//    for the rest. What a thread found out goes into a place of its own, judged by the check.
// 3. A wait is `ModelRuntime.park(on:while:)` on the word that wakes it, a retry loop calls `pause()`. No `await`, no
//    OS lock that is held across a step, no clock, no randomness, nothing that depends on addresses.
// 4. `ModelRuntime.fail` and `.expect` report; `#expect` does not work inside (another OS thread).
// 5. Assert `exhausted`: it is false for a violation and for `maxExecutions` alike.
// 6. Order between *independent* steps is not enumerated by `.exhaustive`, so nothing a model records may depend on it
//    (a history in real-time order does: use `.preemptionBounded`).
//
// ## Threads
// One exploration at a time in the process, on an OS thread made for it: what an abandoned execution leaves in
// thread-local state (the exclusivity checker's list of accesses) dies with the thread.
//
// ## Not promised
// Sequential consistency beyond what `Options.staleLoads` adds; fences; torn values. Plain accesses are compared by
// address alone, not by extent. An abandoned execution leaks what its stacks own; one that is not abandoned does not.

import ModelFibers
import Synchronization

/// Explores models.
public enum Explorer {
    static let turn = Mutex<Void>(())

    /// Explores `model` until a violation, or until the strategy has no more schedules.
    public static func explore(_ model: Model, _ options: Options = Options()) -> Exploration {
        turn.withLock { _ in
            let clock = ContinuousClock()
            let start = clock.now
            var exploration = run(model, options, replay: nil)
            if let violation = exploration.violation, let choices = parse(violation.replay) {
                var traced = options
                traced.strategy = .everyInterleaving
                let again = run(model, traced, replay: choices).violation
                if let again, again.kind == violation.kind {
                    exploration.violation = again
                } else {
                    exploration.violation?.steps = ["(its replay did not show it again: not deterministic)"]
                }
            }
            let elapsed = (clock.now - start).components
            exploration.seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18
            return exploration
        }
    }

    /// Runs the one execution that `choices` (of a `Violation.replay`) names, with the same `options` as then.
    public static func replay(_ model: Model, _ choices: String, options: Options = Options()) -> Exploration {
        guard let choices = parse(choices) else { fatalError("not a list of choices: \(choices)") }
        return turn.withLock { _ in run(model, options, replay: choices) }
    }

    private static func parse(_ choices: String) -> [UInt8]? {
        var result: [UInt8] = []
        for part in choices.split(separator: ",") {
            guard let choice = UInt8(part), choice < 8 else { return nil }
            result.append(choice)
        }
        return result
    }

    private static func run(_ model: Model, _ options: Options, replay: [UInt8]?) -> Exploration {
        let engine = Engine.shared
        let state = engine.state
        state.pointee.model = model
        state.pointee.options = options
        state.pointee.mutation = options.mutation
        state.pointee.mutationHits = 0
        state.pointee.sites.set(options.mutation)
        state.pointee.violation = nil
        state.pointee.isTracing = replay != nil
        state.pointee.trace = []
        state.pointee.names = [:]
        if let replay {
            state.pointee.search.prepare(replay: replay)
        } else {
            state.pointee.search.prepare(options.strategy)
        }

        // A function and the engine's own state, not a closure over a local: that crashes the compiler's region
        // analysis (Swift 6.3.1).
        state.pointee.exploration = Exploration()
        mf_run_on_thread(1 << 20, exploreOnThisThread, nil)
        var exploration = state.pointee.exploration
        exploration.model = model.name
        engine.destroyFibers()
        engine.emptyQuarantine()

        exploration.violation = state.pointee.violation
        exploration.mutationHits = state.pointee.mutationHits
        let table = state.pointee.sites
        exploration.sites = table.sites.indices.filter { table.touched[$0] }.map { table.sites[$0] }
        state.pointee.model = nil
        state.pointee.scenario = nil
        return exploration
    }
}

/// The root fibre's work: one execution after the other.
private func exploreOnThisThread(_: UnsafeMutableRawPointer?) {
    let engine = Engine.shared
    let state = engine.state
    mf_use_threads(state.pointee.options.usesThreads)
    engine.makeFibers()
    state.pointee.needsSleepSets = false
    while true {
        engine.runExecution()
        if state.pointee.needsSleepSets, state.pointee.search.reverses, state.pointee.violation == nil {
            state.pointee.search.prepare(.sleepSets)
            state.pointee.exploration = Exploration()
            continue
        }
        let steps = state.pointee.steps
        state.pointee.exploration.steps += steps
        state.pointee.exploration.maxDepth = max(state.pointee.exploration.maxDepth, steps)
        if state.pointee.search.isRedundant {
            state.pointee.exploration.redundant += 1
        } else {
            state.pointee.exploration.executions += 1
        }
        if state.pointee.violation != nil { return }
        if !state.pointee.search.advance(steps: steps) {
            state.pointee.exploration.exhausted = !state.pointee.isTracing
            return
        }
        let runs = state.pointee.exploration.executions + state.pointee.exploration.redundant
        if runs >= state.pointee.options.maxExecutions { return }
    }
}
