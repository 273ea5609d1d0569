// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The engine of every stage that buffers, joins, times or switches threads: one downstream, one machine, one drain loop.
//
// ## Algorithm
// Whatever happens around a stage (an element from upstream, a timer, the end of a task) is told to its machine under
// the lock, and signalled to the `DrainWord`. The owner of the word asks the machine, under the lock, what to do next,
// does it outside the lock, and asks again until the machine is idle. So signals are serial, no code of a user runs
// under the lock, and a request from inside `onNext` adds to the word and returns.
//
// ## States
// started by `open`: the caller owns the word, gives `onSubscribe`, subscribes to upstream, then drains
// closed by an end, an error, an invalid demand or a cancellation: the machine is exchanged for an empty one, and the
// old one cancels its upstreams and lets go of what it held
//
// ## Invariants
// I1. `seat` is touched by the owner of the word only.
// I2. Elements sent never exceed what the word says was requested.
// I3. After `close` the machine is empty and refuses everything; what it held is disposed of exactly once.

/// What a machine wants done next, outside the lock.
@usableFromInline
enum StageOrder<Machine: StageMachine> {
    /// Nothing until something happens.
    case idle
    /// An element for downstream; only when asked with unmet demand.
    case emit(Machine.Output)
    /// A demand for an upstream.
    case request(any Flow.Subscription, Demand)
    /// What only this kind of stage does.
    case perform(Machine.Effect)
    /// The end.
    case finish((any Error)?)
}

/// The decisions of a stage: events come in, orders go out; no lock, no call out.
@usableFromInline
protocol StageMachine: SendableMetatype {
    associatedtype Output
    associatedtype Effect = Never

    /// What to do next; `unmet` is what downstream has asked for and not got.
    mutating func next(unmet: UInt64) -> StageOrder<Self>

    /// The machine of a closed stage: it holds nothing and refuses everything.
    func closed() -> Self

    /// Cancels upstreams and lets go of what the machine held; called once, outside the lock, on the machine that
    /// `closed` replaced.
    consuming func dispose()

    /// Does `effect`; the caller owns the word and holds no lock.
    static func perform<Downstream: Flow.Subscriber>(_ effect: Effect, on stage: Stage<Self, Downstream>)
    where Downstream.Input == Output
}

extension StageMachine where Effect == Never {
    @inlinable
    static func perform<Downstream: Flow.Subscriber>(_ effect: Never, on stage: Stage<Self, Downstream>)
    where Downstream.Input == Output {}
}

/// A value that is used under a lock or by the owner of a word only.
@frozen
@usableFromInline
struct Guarded<Value>: @unchecked Sendable {
    @usableFromInline var value: Value

    @inlinable @inline(__always)
    init(_ value: Value) { self.value = value }
}

/// What the owner of the word alone touches.
@usableFromInline
struct StageSeat {
    @usableFromInline var emitted: UInt64 = 0
    /// Whether the subscriber is in its place: until the end.
    @usableFromInline var isTaken = true

    @inlinable
    init() {}
}

@usableFromInline
final class Stage<Machine: StageMachine, Downstream: Flow.Subscriber>: DrainedSubscription, @unchecked Sendable
where Downstream.Input == Machine.Output {
    @usableFromInline let machine: LockedState<Guarded<Machine>>
    @usableFromInline let seat: UnsafeMutablePointer<StageSeat>
    @usableFromInline let downstream: UnsafeMutablePointer<Downstream>
    /// Where the drain loop runs; nil is the thread of whoever came to own the word.
    @usableFromInline let executor: (any TaskExecutor)?

    @inlinable
    init(_ machine: Machine, _ downstream: Downstream, executor: (any TaskExecutor)? = nil) {
        self.machine = LockedState(Guarded(machine))
        self.executor = executor
        seat = .allocate(capacity: 1)
        seat.initialize(to: StageSeat())
        self.downstream = .allocate(capacity: 1)
        self.downstream.initialize(to: downstream)
        super.init { unsafeDowncast($0, to: Stage.self).run() }
    }

    @inlinable
    deinit {
        if seat.pointee.isTaken { downstream.deinitialize(count: 1) }
        downstream.deallocate()
        seat.deinitialize(count: 1)
        seat.deallocate()
    }

    /// Gives downstream its subscription, then lets `connect` subscribe to upstream; unless it was cancelled meanwhile.
    @inlinable
    func open(_ connect: () -> Void) {
        downstream.pointee.onSubscribe(self)
        if decide(!word.look().isCancelled) { connect() }
        run()
    }

    /// Tells the machine of an event; what `body` returns is for the caller, who holds no lock then.
    @inlinable @inline(__always)
    func post<Result>(_ body: (inout Machine) -> Result) -> Result {
        let result = machine.withLock { Guarded(body(&$0.value)) }
        if word.signal() { run() }
        return result.value
    }

    /// Asks or tells the machine something of which the drain loop need not know.
    @inlinable @inline(__always)
    func ask<Result>(_ body: (inout Machine) -> Result) -> Result {
        let result = machine.withLock { Guarded(body(&$0.value)) }
        return result.value
    }

    /// The caller came to own the word.
    @inlinable @inline(__always)
    func run() {
        if let executor { Task(executorPreference: executor) { self.drain() } } else { drain() }
    }

    @inlinable
    @inline(never)
    func drain() {
        PlainAccess.write(seat)
        var look = word.look()
        while true {
            // In this order: laying the signal down is a new look, which may show a cancellation.
            if decide(look.isSignalled) { look = word.clearSignal() }
            if decide(look.mustStop) { return end(look) }
            let unmet = look.unmet(after: seat.pointee.emitted)
            let order = machine.withLock { Guarded($0.value.next(unmet: unmet)) }
            switch order.value {
            case .emit(let element):
                seat.pointee.emitted &+= 1
                downstream.pointee.onNext(element)
                look = word.look()
            case .request(let upstream, let demand):
                upstream.request(demand)
                look = word.look()
            case .perform(let effect):
                Machine.perform(effect, on: self)
                look = word.look()
            case .finish(let error):
                return finish(error)
            case .idle:
                if word.leave(&look) { return }
            }
        }
    }

    @inlinable
    @inline(never)
    func end(_ look: DrainLook) {
        guard decide(!look.isCancelled) else {
            word.close()
            seat.pointee.isTaken = false
            let downstream = self.downstream.move()
            shut()
            _ = consume downstream
            return
        }
        finish(Flow.InvalidDemand(word.invalidDemand))
    }

    /// Ends the stream: upstreams are cancelled first, then downstream is told.
    @inlinable
    @inline(never)
    func finish(_ error: (any Error)?) {
        word.close()
        seat.pointee.isTaken = false
        var downstream = self.downstream.move()
        shut()
        if let error { downstream.onError(error) } else { downstream.onComplete() }
    }

    @inlinable
    func shut() {
        let old = machine.withLock { machine in
            let old = machine.value
            machine.value = old.closed()
            return Guarded(old)
        }
        old.value.dispose()
    }
}
