// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One select that has to wait: links its cases, looks again where that is needed, and cleans up after the decision.
//
// ## Algorithm
//   link      every case in turn, until one is served at once or somebody has decided for one of the earlier ones
//   poll      while nothing is decided and a sender is half-way in one of the channels
//   (sleep)   on the selection's `home`; the caller's part, because it is the only one that suspends
//   record    the wait, in every queue that it stood in
//   conclude  withdraw and free what is linked, give the elements of losers back to their offers
//   (serve)   the caller's part: what the winner owes its side as its steward
//
// The deadline is that of the first case, on the clock of its channel, and rings in the timer of that channel: it needs
// no task and no clock of its own.

/// The cases of one select while they wait.
///
/// It belongs to the task that selects.
struct SelectRun {
    /// What a select came to.
    enum Conclusion {
        case chosen(Int)
        case cancelled
        case timedOut
    }

    let arms: [SelectArm]
    let selection: Selection
    /// The waiter of each case; nil while it has none.
    private var nodes: [WaiterRef?]
    /// Cases that stood in their queue.
    private var linked: [Int] = []
    /// Cases whose channel had a sender half-way when they were linked.
    private var pending: [Int] = []
    /// Whether the task took the decision itself: then nobody wakes it.
    private(set) var isServed = false
    /// The winner woke as a steward: of which channel, and of which side.
    private(set) var duty: (core: any SelectableCore, isSender: Bool)?

    init(arms: [SelectArm], selection: Selection = Selection()) {
        self.arms = arms
        self.selection = selection
        nodes = Array(repeating: nil, count: arms.count)
    }

    /// Links the cases, from `start` on in their order.
    ///
    /// After it the task sleeps on `selection.home`, unless `isServed`.
    mutating func link(from start: Int, times: WaitTimes) {
        for offset in 0..<arms.count {
            let index = (start + offset) % arms.count
            let arm = arms[index]
            guard arm.isEnabled else { continue }
            let node = WaiterRef.allocate(payload: arm.core.layout)
            node.join(selection)
            arm.load(node)
            nodes[index] = node
            let isTimed = index == Self.timekeeper(of: arms)
            let step = arm.core.link(
                node, isSender: arm.isSender,
                times: isTimed ? times : WaitTimes(now: times.now, deadline: .max))
            switch step {
            case .waits: linked.append(index)
            case .waitsPending:
                linked.append(index)
                pending.append(index)
            case .served:
                isServed = true
                return
            case .decided: return
            }
        }
    }

    /// The case whose channel keeps the time: the first that can be chosen.
    static func timekeeper(of arms: [SelectArm]) -> Int? { arms.firstIndex { $0.isEnabled } }

    /// Looks once more where a sender was half-way; true when the task must come again before it may sleep.
    mutating func mustPoll() -> Bool {
        guard !pending.isEmpty, !isServed, selection.decision.isOpen else { return false }
        pending.removeAll { index in
            guard let node = nodes[index] else { return true }
            return !arms[index].core.mustPoll(node)
        }
        return !pending.isEmpty
    }

    /// Where a sender was half-way when it was last looked.
    var pendingCores: [any SelectableCore] { pending.map { arms[$0].core } }

    /// The wait is over, whatever it came to: records it in each queue that it stood in, chosen or not.
    ///
    /// Before `conclude`, which frees the waiters.
    func record() {
        for index in linked {
            guard let node = nodes[index] else { continue }
            let core = arms[index].core
            core.waitLog(isSender: arms[index].isSender).note(node, core.timeSource)
        }
    }

    /// The wait is over: withdraws every case, and hands back what was not sent.
    ///
    /// The task has seen `home` resumed, or served itself.
    mutating func conclude() -> Conclusion {
        var winner: WaiterRef?
        if case .taken(let node) = selection.decision { winner = node }
        // First all of them, so that nobody waits for a body or a destructor.
        for (index, node) in nodes.enumerated() {
            if let node, node != winner { arms[index].core.withdraw(node) }
        }
        var conclusion = Conclusion.cancelled
        for (index, node) in nodes.enumerated() {
            guard let node else { continue }
            let arm = arms[index]
            if node != winner {
                arm.takeBack(node)
            } else if node.verdict == .timedOut {
                arm.takeBack(node)
                conclusion = .timedOut
            } else {
                arm.accept(node)
                conclusion = .chosen(index)
                if decide(node.isSteward) { duty = (arm.core, arm.isSender) }
            }
            node.deallocate(payload: arm.core.layout)
            nodes[index] = nil
        }
        return conclusion
    }
}
