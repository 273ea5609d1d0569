// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Which other orders of steps must be tried: the reversal of races.
//
// ## Algorithm
// Source sets (Abdulla, Aronis, Jonsson, Sagonas, Optimal Dynamic Partial Order Reduction, POPL 2014). Two steps of
// different threads depend on each other if they touch one location and one of them writes. They race if nothing else
// orders them. For a race of an earlier step e with a new step n, take those steps after e that do not depend on e,
// and n: some thread that can begin that sequence must be tried in place of e. Each step has a vector clock of the
// steps before it, so all of this is comparisons of numbers.
//
// These clocks are not the ones that find data races: those follow acquire and release, these follow every dependence.
//
// ## Steps that wait
// lock   A lock that is held cannot be taken earlier, so the rival of a taking is not the last release but the last
//        taking. The steps inside that section depend on it and stay behind.
// park   It can be tried before a write only if the sleeper would not have slept on what the word held before it. If
//        it would have, an earlier write may still be a rival: the walk goes on. With two words a sleeper's state
//        before a write is not known from one of them: every write that may have mattered is a rival.
//        A lock or a park that cannot be taken looks for rivals at once, and again when it is taken: an execution may
//        turn out to repeat another one before that.
// pause  Any of several writes may end it, also one that comes later in this execution: which sequences are possible
//        is then not seen from one of them. A model that pauses is therefore explored by sleep sets alone.
// rescue It comes when nobody else can move, after everything: no rivals.
//
// ## Invariants
// I1  Only the first execution that takes a step from a node looks for its rivals: later ones repeat it.
// I2  A sequence that no thread can begin at the earlier step's node is impossible, and is not tried.
//
// ## Steps of histories
// The beginnings of operations depend on the ends of others and not on each other; the ends likewise. So every order
// in real time that a linearizability check can tell apart is tried, and no other one.

extension Engine {
    /// Notes that `thread` takes its pending step, chosen at `node`; demands what its races call for.
    func noteStep(of thread: Int, at node: Int) {
        let pending = threads[thread].pending
        let step = UInt32(truncatingIfNeeded: state.pointee.log.count + 1)
        var clock = threads[thread].traceClock
        let before = clock
        let seeks = state.pointee.search.isExploring
        clock[thread] = step

        switch pending.kind {
        case .pause, .section: state.pointee.needsSleepSets = true
        case .rescue:
            for other in 0..<state.pointee.threadCount { clock.join(threads[other].traceClock) }
        case .invoke:
            let location = located(pending.location)
            let rivals = location.pointee.order.endSteps
            clock.join(location.pointee.order.write)
            location.pointee.order.reads.join(clock)
            location.pointee.order.readSteps[thread] = step
            if seeks { reverseEach(rivals, thread, before, clock, step) }
        case .respond:
            let location = located(pending.location)
            let rivals = location.pointee.order.readSteps
            clock.join(location.pointee.order.reads)
            location.pointee.order.write.join(clock)
            location.pointee.order.endSteps[thread] = step
            if seeks { reverseEach(rivals, thread, before, clock, step) }
        case .park:
            clock.join(located(pending.location).pointee.order.write)
            if pending.second >= 0 { clock.join(located(pending.second).pointee.order.write) }
            for index in [pending.location, pending.second] where index >= 0 {
                let location = located(index)
                location.pointee.order.reads.join(clock)
                location.pointee.order.readSteps[thread] = step
            }
            if seeks { reversePark(pending, thread, before, clock, step) }
        case .lock, .unlock:
            let location = located(pending.location)
            let rival = location.pointee.order.writeStep
            clock.join(location.pointee.order.write)
            location.pointee.order.write = clock
            if pending.kind == .lock {
                location.pointee.order.writeStep = step
                if seeks { reverse(rival, thread, before, clock, step) }
            }
        default:
            guard writes(pending) else {
                let location = located(pending.location)
                let rival = location.pointee.order.writeStep
                clock.join(location.pointee.order.write)
                location.pointee.order.reads.join(clock)
                location.pointee.order.readSteps[thread] = step
                if seeks { reverse(rival, thread, before, clock, step) }
                break
            }
            // A write of one word, or of two neighbours at once.
            let first = located(pending.location).pointee.order
            let second = pending.second >= 0 ? located(pending.second).pointee.order : TraceOrder()
            clock.join(first.write)
            clock.join(first.reads)
            clock.join(second.write)
            clock.join(second.reads)
            noteWrite(pending.location, clock, step)
            if pending.second >= 0 { noteWrite(pending.second, clock, step) }
            guard seeks else { break }
            reverseWrite(first, thread, before, clock, step)
            if pending.second >= 0 { reverseWrite(second, thread, before, clock, step) }
        }
        threads[thread].traceClock = clock
        state.pointee.log.append(
            TraceStep(clock: clock, node: Int32(truncatingIfNeeded: node), thread: UInt8(truncatingIfNeeded: thread)))
    }

    private func noteWrite(_ index: Int32, _ clock: Clock, _ step: UInt32) {
        let location = located(index)
        location.pointee.order.write = clock
        location.pointee.order.reads = Clock()
        location.pointee.order.readSteps = Clock()
        location.pointee.order.writeStep = step
        location.pointee.order.lastWritten = state.pointee.log.append(
            TraceWrite(before: value(index), step: step, previous: location.pointee.order.lastWritten))
    }

    /// Readers since the last write stand between it and a new one.
    private func reverseWrite(
        _ order: TraceOrder, _ thread: Int, _ before: Clock, _ clock: Clock, _ step: UInt32
    ) {
        if any(order.readSteps .!= Clock()) {
            reverseEach(order.readSteps, thread, before, clock, step)
        } else {
            reverse(order.writeStep, thread, before, clock, step)
        }
    }

    /// Threads whose pending step cannot be taken now, but perhaps could have been earlier: their races count at once.
    ///
    /// The step may not be taken in this execution at all before it turns out to repeat another one.
    @inline(__always)
    func noteWaiting(except enabled: UInt8) {
        let everybody = UInt8(truncatingIfNeeded: (1 << state.pointee.threadCount) - 1)
        let present = everybody & ~enabled
        let new = present & ~state.pointee.waiting
        state.pointee.waiting = present
        if new != 0, state.pointee.search.isExploring { seekRivals(of: new) }
    }

    @inline(never)
    private func seekRivals(of threads: UInt8) {
        let step = UInt32(truncatingIfNeeded: state.pointee.log.count + 1)
        for thread in 0..<state.pointee.threadCount where threads & (1 << UInt8(thread)) != 0 {
            guard !self.threads[thread].isFinished else { continue }
            let pending = self.threads[thread].pending
            let before = self.threads[thread].traceClock
            var clock = before
            clock[thread] = step
            switch pending.kind {
            case .lock:
                let location = located(pending.location)
                clock.join(location.pointee.order.write)
                reverse(location.pointee.order.writeStep, thread, before, clock, step)
            case .park:
                clock.join(located(pending.location).pointee.order.write)
                if pending.second >= 0 { clock.join(located(pending.second).pointee.order.write) }
                reversePark(pending, thread, before, clock, step)
            default: break
            }
        }
    }

    @inline(__always)
    private func located(_ location: Int32) -> UnsafeMutablePointer<Location> {
        state.pointee.table.locations + Int(location)
    }

    /// Reverses the race with each of `rivals`, a step a thread, unless another of them comes between.
    private func reverseEach(_ rivals: Clock, _ thread: Int, _ before: Clock, _ clock: Clock, _ step: UInt32) {
        guard any((rivals .!= Clock()) .& (rivals .> before)) else { return }
        for other in 0..<state.pointee.threadCount where other != thread && rivals[other] > before[other] {
            var isDirect = true
            for third in 0..<state.pointee.threadCount where third != other && rivals[third] > before[third] {
                if third == thread { continue }
                let between = state.pointee.log.steps[Int(rivals[third])].clock
                if between[other] >= rivals[other] { isDirect = false }
            }
            if isDirect { reverse(rivals[other], thread, before, clock, step) }
        }
    }

    private func reversePark(_ pending: Operation, _ thread: Int, _ before: Clock, _ clock: Clock, _ step: UInt32) {
        guard let predicate = threads[thread].predicate else { return }
        let (first, second) = (pending.location, pending.second)
        let log = state.pointee.log
        // Rivals of the first word, for each value that the second may have had, and the other way round.
        for (location, other) in [(first, second), (second, first)] where location >= 0 {
            var entry = located(location).pointee.order.lastWritten
            while entry >= 0 {
                let write = log.writes[Int(entry)]
                let writer = Int(log.steps[Int(write.step)].thread)
                if write.step <= before[writer] { break }
                var wouldGoOn = false
                if other < 0 {
                    wouldGoOn = !predicate(write.before, 0)
                } else {
                    var present = value(other)
                    var otherEntry = located(other).pointee.order.lastWritten
                    while true {
                        let goesOn =
                            location == first ? !predicate(write.before, present) : !predicate(present, write.before)
                        if goesOn { wouldGoOn = true }
                        guard !wouldGoOn, otherEntry >= 0 else { break }
                        let otherWrite = log.writes[Int(otherEntry)]
                        let otherWriter = Int(log.steps[Int(otherWrite.step)].thread)
                        if otherWrite.step <= before[otherWriter] { break }
                        present = otherWrite.before
                        otherEntry = otherWrite.previous
                    }
                }
                if wouldGoOn {
                    reverse(write.step, thread, before, clock, step)
                    if other < 0 { break }
                }
                entry = write.previous
            }
        }
    }

    /// Step `rival` races with the new `step` of `thread`, unless it happens before the thread's last one.
    @inline(__always)
    private func reverse(_ rival: UInt32, _ thread: Int, _ before: Clock, _ clock: Clock, _ step: UInt32) {
        guard rival != 0 else { return }
        let earlier = state.pointee.log.steps[Int(rival)]
        guard Int(earlier.thread) != thread, before[Int(earlier.thread)] < rival, earlier.node >= 0,
            !state.pointee.search.isComplete(Int(earlier.node))
        else { return }
        demandInitials(rival, earlier, thread, clock, step)
    }

    @inline(never)
    private func demandInitials(
        _ rival: UInt32, _ earlier: TraceStep, _ thread: Int, _ clock: Clock, _ step: UInt32
    ) {
        let steps = state.pointee.log.steps
        let owner = Int(earlier.thread)
        // The first step of each thread in the reversed sequence: those of one thread that depend on the rival come
        // after those that do not.
        var first = Clock()
        var over: UInt8 = 1 << earlier.thread
        let everybody = UInt8(truncatingIfNeeded: (1 << state.pointee.threadCount) - 1)
        var index = rival + 1
        while index < step, over != everybody {
            let taken = steps[Int(index)]
            let bit: UInt8 = 1 << taken.thread
            if over & bit == 0 {
                if taken.clock[owner] < rival { first[Int(taken.thread)] = index }
                over |= bit
            }
            index += 1
        }
        if first[thread] == 0 { first[thread] = step }

        var initials: UInt8 = 0
        let present = first .!= Clock()
        for other in 0..<state.pointee.threadCount where first[other] != 0 {
            let seen = first[other] == step ? clock : steps[Int(first[other])].clock
            var precedes = present .& (seen .>= first)
            precedes[other] = false
            if !any(precedes) { initials |= 1 << UInt8(other) }
        }
        state.pointee.search.demand(initials, at: Int(earlier.node), preferred: thread)
    }
}
