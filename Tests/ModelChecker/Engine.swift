// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The state of the one exploration of this process, and the fibres it runs on.
//
// ## Fibres
// root    the OS thread's own stack: loops over executions, is where a violation ends up
// host    runs the recipe, starts the threads (each runs to its first announcement), and runs the check
// threads one a thread of the model; they loop from execution to execution
//
// ## Invariants
// I1  Exactly one fibre runs; `running` names it if it is a thread.
// I2  State is reached through pointers, in accesses that end before any switch: neither the compiler nor the
//     exclusivity checker may think that a value stays unchanged across one.
// I3  After a violation nothing runs on the abandoned stacks, and this OS thread ends.

import ModelFibers

struct ThreadState {
    var pending = Operation()
    var clock = Clock()
    /// The steps that happen before this thread's next one, in the order of dependent steps.
    var traceClock = Clock()
    var isFinished = true
    /// A pause ends: something that was read since the last one has been written by another thread.
    var isWoken = false
    var staleLoads = 0
    var spuriousFailures = 0
    var predicate: ((UInt64, UInt64) -> Bool)?
    /// A store that a mutation holds back until the next step is done.
    var delayed: DelayedStore?
    /// Locations whose `readers` holds this thread.
    var readCount = 0
    var fiber: OpaquePointer?
}

struct DelayedStore {
    let address: UnsafeMutableRawPointer
    let order: MemoryOrder
    let value: UInt64
    let site: Int32
}

enum Phase { case idle, host, starting, threads }

struct EngineState {
    var phase = Phase.idle
    var running = -1
    var threadCount = 0
    var finished = 0
    var steps = 0
    var hostSteps = 0
    var threads: UnsafeMutablePointer<ThreadState>
    var table = LocationTable()
    var sites = SiteTable()
    var search = Search()
    var log = TraceLog()
    var options = Options()
    var mutation: Mutation?
    var mutationHits = 0
    var freed: [(range: Range<UInt>, site: Int32)] = []
    /// Memory that was given back in this execution; it stays allocated, so that its addresses do not come back.
    var quarantine: [UnsafeMutableRawPointer] = []
    var scenario: Scenario?
    var model: Model?
    var violation: Violation?
    var exploration = Exploration()
    /// A pause was met: the reversal of races is not enough for this model.
    var needsSleepSets = false
    /// Threads that waited in a lock or a park when the last step was chosen.
    var waiting: UInt8 = 0
    /// The rescuer acts: nobody else may step in between.
    var isRescuing = false
    var isTracing = false
    var trace: [String] = []
    var names: [UInt: String] = [:]
    var currentFiber: OpaquePointer?
    var root: OpaquePointer?
    var host: OpaquePointer?
}

/// A handle of the process's one engine.
struct Engine {
    let state: UnsafeMutablePointer<EngineState>

    static let maxThreads = 8
    static let stackBytes = 256 * 1024
    static let maxHostSteps = 1_000_000

    nonisolated(unsafe) static let shared: Engine = {
        let threads = UnsafeMutablePointer<ThreadState>.allocate(capacity: maxThreads)
        threads.initialize(repeating: ThreadState(), count: maxThreads)
        let state = UnsafeMutablePointer<EngineState>.allocate(capacity: 1)
        state.initialize(to: EngineState(threads: threads))
        return Engine(state: state)
    }()

    @inline(__always)
    var threads: UnsafeMutablePointer<ThreadState> { state.pointee.threads }

    // MARK: Fibres

    @inline(__always)
    func switchTo(_ fiber: OpaquePointer?) {
        guard let from = state.pointee.currentFiber, let to = fiber else { preconditionFailure("no fibre to switch") }
        state.pointee.currentFiber = to
        mf_switch(from, to)
    }

    /// Makes the fibres; called on the OS thread of the exploration.
    func makeFibers() {
        state.pointee.root = mf_adopt_thread()
        state.pointee.currentFiber = state.pointee.root
        state.pointee.host = mf_create(
            Engine.stackBytes, { _ in while true { Engine.shared.hostTurn() } }, nil)
        for thread in 0..<Engine.maxThreads { threads[thread].fiber = nil }
    }

    func destroyFibers() {
        for thread in 0..<Engine.maxThreads {
            if let fiber = threads[thread].fiber { mf_destroy(fiber) }
            threads[thread].fiber = nil
            threads[thread].predicate = nil
        }
        if let host = state.pointee.host { mf_destroy(host) }
        if let root = state.pointee.root { mf_destroy(root) }
        (state.pointee.host, state.pointee.root, state.pointee.currentFiber) = (nil, nil, nil)
    }

    /// Runs one execution; called on the root fibre.
    func runExecution() {
        state.pointee.table.reset()
        state.pointee.search.beginExecution()
        state.pointee.log.reset()
        state.pointee.steps = 0
        state.pointee.hostSteps = 0
        if !state.pointee.freed.isEmpty { state.pointee.freed.removeAll(keepingCapacity: true) }
        emptyQuarantine()
        switchTo(state.pointee.host)
        state.pointee.phase = .idle
    }

    func emptyQuarantine() {
        guard !state.pointee.quarantine.isEmpty else { return }
        for memory in state.pointee.quarantine { memory.deallocate() }
        state.pointee.quarantine.removeAll(keepingCapacity: true)
    }

    private func hostTurn() {
        hostExecution()
        switchTo(state.pointee.root)
    }

    private func hostExecution() {
        state.pointee.phase = .host
        state.pointee.running = -1
        guard let model = state.pointee.model else { preconditionFailure("no model") }
        let scenario = model.build()
        let count = scenario.threads.count + (scenario.rescue == nil ? 0 : 1)
        precondition(count <= Engine.maxThreads, "a model has at most \(Engine.maxThreads) threads")
        state.pointee.scenario = scenario
        state.pointee.threadCount = count
        state.pointee.finished = 0
        state.pointee.isRescuing = false
        state.pointee.waiting = 0
        state.pointee.phase = .starting
        for thread in 0..<count { start(thread) }
        state.pointee.phase = .threads
        state.pointee.running = -1
        let next = choose()
        if next >= 0 {
            state.pointee.running = next
            switchTo(threads[next].fiber)
        }
        state.pointee.phase = .host
        state.pointee.running = -1
        scenario.check()
        state.pointee.scenario = nil
    }

    private func start(_ thread: Int) {
        let record = threads + thread
        record.pointee.isFinished = false
        record.pointee.isWoken = false
        record.pointee.readCount = 0
        record.pointee.delayed = nil
        record.pointee.staleLoads = state.pointee.options.staleLoads
        record.pointee.spuriousFailures = state.pointee.options.spuriousFailures
        record.pointee.clock = Clock()
        record.pointee.clock[thread] = 1
        record.pointee.traceClock = Clock()
        if record.pointee.fiber == nil {
            record.pointee.fiber = mf_create(
                Engine.stackBytes,
                { raw in
                    let thread = Int(bitPattern: raw)
                    while true { Engine.shared.threadTurn(thread) }
                }, UnsafeMutableRawPointer(bitPattern: thread))
        }
        state.pointee.running = thread
        switchTo(record.pointee.fiber)
    }

    private func threadTurn(_ thread: Int) {
        if let scenario = state.pointee.scenario {
            if thread < scenario.threads.count { scenario.threads[thread]() } else { rescue(scenario, thread) }
        }
        makeDelayedStore(thread)
        threads[thread].isFinished = true
        state.pointee.finished += 1
        if state.pointee.phase == .starting { return switchTo(state.pointee.host) }
        let next = choose()
        state.pointee.running = next
        switchTo(next >= 0 ? threads[next].fiber : state.pointee.host)
    }

    /// The rescuer's turn comes when nobody else can move; if all have finished there is nothing to do.
    private func rescue(_ scenario: Scenario, _ thread: Int) {
        announce(Operation(kind: .rescue))
        guard state.pointee.finished < state.pointee.threadCount - 1 else { return }
        if state.pointee.isTracing { traceText(thread, "nobody can move: the rescuer steps in", -1) }
        state.pointee.isRescuing = true
        scenario.rescue?()
        state.pointee.isRescuing = false
    }
}
