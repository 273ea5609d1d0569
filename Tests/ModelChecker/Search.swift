// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Which choice is made at each choice point, and which choices are left for later executions.
//
// ## Algorithm
// Stateless depth-first search: an execution is a list of nodes, one for each point where more than one thread could
// step (or one load could return more than one value). The next execution repeats the nodes up to the deepest one that
// has choices to do, takes one of them there, and goes on with defaults: the running thread if it can, or the lowest.
//
// Reduction: sleep sets (P. Godefroid, Partial-Order Methods for the Verification of Concurrent Systems, 1996). A
// thread whose step has been fully explored at a node sleeps below the node's other choices until a step that depends
// on its own is taken. An execution in which every thread that could step sleeps repeats an earlier one: it is run to
// its end, so that nothing leaks, but makes no more choices.
//
// Source sets (Abdulla, Aronis, Jonsson, Sagonas, Optimal Dynamic Partial Order Reduction, 2014): a node has one choice
// at first; the reversal of a race (`Engine+Reversal`) demands another one. Sleep sets alone already run one execution
// for each order of dependent steps; source sets spare the attempts that end asleep.
//
// Random, unevenly: each execution draws a speed for each thread, 1, 4, 16 or 64, and each choice is in proportion to
// it. At equal speeds a thread with a short way to go is nearly always first, and what others do at the end of a long
// one is hardly ever seen.
//
// Priorities: Burckhardt, Kothari, Musuvathi, Nagarakatte, A Randomized Scheduler with Probabilistic Guarantees of
// Finding Bugs, 2010.
//
// ## Invariants
// I1  node.chosen is not in node.todo, and was never in it before.
// I2  node.sleep holds what slept on arrival and the threads explored at this node before `chosen`.

/// Numbers from a seed (SplitMix64: Steele, Lea, Flood, 2014).
struct SeededNumbers {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    mutating func next(below bound: Int) -> Int { Int(next() % UInt64(bound)) }
}

struct Search {
    /// Masks of threads, or of values.
    struct Node {
        /// What could be chosen; 0 in a replay: not known.
        var enabled: UInt8
        var todo: UInt8
        var sleep: UInt8
        var chosen: UInt8
        var isValue: Bool
        /// Where the chosen thread's step stands in the source, to notice a model that is not deterministic.
        var site: Int32 = -1
    }

    enum Mode { case depthFirst, random, priorities, replay }

    private var mode = Mode.depthFirst
    private(set) var reduces = false
    /// Whether other choices are tried only where a race calls for them.
    private(set) var reverses = false
    private var preemptionBound = Int.max
    private var numbers = SeededNumbers(state: 0)
    private var seed: UInt64 = 0
    private var changes = 0
    private var budget = Int.max

    private var nodes: UnsafeMutablePointer<Node>
    private var capacity = 4096
    private var count = 0
    private var cursor = 0
    /// How many nodes this execution repeats, the last of them with another choice.
    private var repeated = 0
    private var preemptions = 0
    private var priority = SIMD8<Int>()
    /// How many steps a thread takes, on average, while another of speed 1 takes one.
    private var speed = SIMD8<Int>()
    private var isUneven = false
    private var changePoints: [Int] = []
    private var longest = 32
    private var executionIndex = 0

    /// Threads whose next step need not be explored here.
    var sleep: UInt8 = 0
    /// Whether this execution repeats an earlier one.
    private(set) var isRedundant = false
    private(set) var diverged = false

    init() { nodes = .allocate(capacity: capacity) }

    mutating func prepare(_ strategy: Strategy) {
        (mode, reduces, reverses, preemptionBound, budget, count) = (.depthFirst, false, false, .max, .max, 0)
        (longest, executionIndex) = (32, 0)
        switch strategy {
        case .exhaustive: (reduces, reverses) = (true, true)
        case .sleepSets: reduces = true
        case .everyInterleaving: break
        case .preemptionBounded(let bound): preemptionBound = bound
        case .random(let seed, let executions, let unevenly):
            (mode, self.seed, budget, isUneven) = (.random, seed, executions, unevenly)
        case .priorities(let seed, let depth, let executions):
            (mode, self.seed, budget, changes) = (.priorities, seed, executions, max(0, depth - 1))
        }
    }

    mutating func prepare(replay choices: [UInt8]) {
        prepare(.everyInterleaving)
        mode = .replay
        for choice in choices { append(Node(enabled: 0, todo: 0, sleep: 0, chosen: choice, isValue: false)) }
    }

    mutating func beginExecution() {
        (cursor, preemptions, sleep, isRedundant, diverged, repeated) = (0, 0, 0, false, false, count)
        guard mode == .random || mode == .priorities else { return }
        count = 0
        numbers = SeededNumbers(state: seed &+ UInt64(executionIndex) &* 0xD134_2543_DE82_EF95)
        if mode == .random {
            for thread in 0..<8 { speed[thread] = isUneven ? 1 << (2 * numbers.next(below: 4)) : 1 }
        } else {
            for thread in 0..<8 { priority[thread] = changes + 1 + Int(numbers.next() >> 2) % 1_000_000 }
            changePoints = (0..<changes).map { _ in numbers.next(below: longest) }
        }
    }

    /// Moves to the next execution; false if there is none.
    mutating func advance(steps: Int) -> Bool {
        executionIndex += 1
        longest = max(longest, steps)
        switch mode {
        case .replay: return false
        case .random, .priorities: return executionIndex < budget
        case .depthFirst: break
        }
        while count > 0 {
            let last = nodes + (count - 1)
            if last.pointee.todo != 0 {
                if reduces, !last.pointee.isValue { last.pointee.sleep |= 1 << last.pointee.chosen }
                last.pointee.site = -1
                last.pointee.chosen = UInt8(last.pointee.todo.trailingZeroBitCount)
                last.pointee.todo &= last.pointee.todo &- 1
                return true
            }
            count -= 1
        }
        return false
    }

    /// The only thread that can step is `thread`.
    @inline(__always)
    mutating func noteForced(_ thread: Int) {
        if sleep & (1 << UInt8(thread)) != 0 { becomeRedundant() }
    }

    private mutating func becomeRedundant() {
        isRedundant = true
        sleep = 0
    }

    /// Chooses among the threads of `enabled`, which are several.
    ///
    /// `mayGoOn`: if the running thread is one of them, taking another one's step is a preemption.
    mutating func pickThread(_ enabled: UInt8, running: Int, mayGoOn: Bool, step: Int) -> Int {
        let runningBit: UInt8 = running >= 0 ? enabled & (1 << UInt8(running)) : 0
        if cursor < count {
            let node = nodes + cursor
            cursor += 1
            if node.pointee.enabled == 0 { node.pointee.enabled = enabled }
            let bit: UInt8 = 1 << (node.pointee.chosen & 7)
            if node.pointee.enabled != enabled || node.pointee.isValue || bit & enabled == 0 {
                diverged = true
                return enabled.trailingZeroBitCount
            }
            sleep = node.pointee.sleep
            if mayGoOn, runningBit != 0, bit != runningBit { preemptions += 1 }
            return Int(node.pointee.chosen)
        }
        var available = enabled
        var chosen: UInt8
        switch mode {
        case .random:
            chosen = atItsSpeed(enabled)
            available = 0
        case .priorities:
            chosen = highestPriority(enabled)
            for (index, point) in changePoints.enumerated() where point == step {
                priority[Int(chosen)] = index + 1
                chosen = highestPriority(enabled)
            }
            available = 0
        case .replay:
            chosen = UInt8((runningBit != 0 ? runningBit : enabled).trailingZeroBitCount)
            available = 0
        case .depthFirst:
            available &= ~sleep
            if available == 0 { becomeRedundant() }
            if mayGoOn, runningBit != 0, preemptions >= preemptionBound { available = runningBit }
            let first = isRedundant ? enabled : available
            chosen = UInt8((first & runningBit != 0 ? runningBit : first).trailingZeroBitCount)
            if isRedundant || reverses { available = 0 }
        }
        if mayGoOn, runningBit != 0, 1 << chosen != runningBit { preemptions += 1 }
        append(Node(enabled: enabled, todo: available & ~(1 << chosen), sleep: sleep, chosen: chosen, isValue: false))
        cursor += 1
        return Int(chosen)
    }

    /// The node at which the step just chosen was one of several, or -1.
    ///
    /// Before the step is taken, and so before it chooses a value.
    @inline(__always)
    var currentNode: Int { cursor - 1 }

    /// Whether the step just chosen was not yet taken from here in an earlier execution, nor repeats one.
    @inline(__always)
    var isExploring: Bool { cursor >= repeated && !isRedundant }

    /// One of `initials` must be tried first at `node`: nothing to do if one was, will be, or need not be.
    mutating func demand(_ initials: UInt8, at node: Int, preferred: Int) {
        let node = nodes + node
        let candidates = initials & node.pointee.enabled
        let covered = node.pointee.sleep | node.pointee.todo | (1 << node.pointee.chosen)
        guard candidates != 0, candidates & covered == 0 else { return }
        let bit: UInt8 = 1 << UInt8(preferred)
        node.pointee.todo |= candidates & bit != 0 ? bit : candidates & (~candidates &+ 1)
    }

    /// Whether every choice at `node` is taken care of.
    @inline(__always)
    func isComplete(_ node: Int) -> Bool {
        let node = nodes + node
        return node.pointee.enabled & ~(node.pointee.sleep | node.pointee.todo | (1 << node.pointee.chosen)) == 0
    }

    /// Chooses one of `options` (2...8) values; 0 is the ordinary one.
    mutating func pickValue(_ options: Int) -> Int {
        let enabled = UInt8(truncatingIfNeeded: (1 << options) - 1)
        if cursor < count {
            let node = nodes + cursor
            cursor += 1
            if node.pointee.enabled == 0 { (node.pointee.enabled, node.pointee.isValue) = (enabled, true) }
            if node.pointee.enabled != enabled || !node.pointee.isValue || Int(node.pointee.chosen) >= options {
                diverged = true
                return 0
            }
            return Int(node.pointee.chosen)
        }
        var chosen = 0
        if mode == .random || mode == .priorities { chosen = numbers.next(below: options) }
        let todo = mode == .depthFirst && !isRedundant ? enabled & ~1 : 0
        append(Node(enabled: enabled, todo: todo, sleep: 0, chosen: UInt8(chosen), isValue: true))
        cursor += 1
        return chosen
    }

    /// The choice just made is of a step at `site`; false if it was of another one when it was first made.
    @inline(__always)
    mutating func confirm(_ site: Int32) -> Bool {
        let node = nodes + (cursor - 1)
        if node.pointee.site < 0 { node.pointee.site = site }
        return node.pointee.site == site
    }

    /// Whether the execution has not yet come to all the choices that it is to repeat.
    var hasChoicesLeft: Bool { cursor < count }

    /// The choices made so far.
    var replay: [UInt8] { (0..<cursor).map { nodes[$0].chosen } }

    /// A random thread of `enabled`, fast ones more often.
    private mutating func atItsSpeed(_ enabled: UInt8) -> UInt8 {
        func threads() -> some Sequence<Int> { (0..<8).lazy.filter { enabled & (1 << UInt8($0)) != 0 } }
        var left = numbers.next(below: threads().reduce(0) { $0 + speed[$1] })
        for thread in threads() {
            left -= speed[thread]
            if left < 0 { return UInt8(thread) }
        }
        preconditionFailure("no thread can step")
    }

    private func highestPriority(_ enabled: UInt8) -> UInt8 {
        var best = enabled.trailingZeroBitCount
        for thread in 0..<8 where enabled & (1 << UInt8(thread)) != 0 && priority[thread] > priority[best] {
            best = thread
        }
        return UInt8(best)
    }

    private mutating func append(_ node: Node) {
        if count == capacity {
            let old = nodes
            nodes = .allocate(capacity: capacity * 2)
            nodes.update(from: old, count: count)
            old.deallocate()
            capacity *= 2
        }
        nodes[count] = node
        count += 1
    }
}
