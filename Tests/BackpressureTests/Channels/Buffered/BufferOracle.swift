// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a buffer with rules must do, as a plain sequential program on arrays: the specification of the walks.
//
// Strict order and order of arrival only: the weighted one has its own property in TurnTests.

@testable import Backpressure

/// A buffer between operations that never overlap.
struct BufferOracle {
    struct Item {
        let element: Int
        let lane: Int
        let cost: Int
        let deadline: Duration?
    }

    private struct Waiting {
        let ticket: Int
        let item: Item
        let deadline: Duration?
        let limit: SendLimit
    }

    let plan: BufferPlan
    private(set) var now: Duration = .zero
    private(set) var buffer: [Item] = []
    private var senders: [Waiting] = []
    private var receivers: [Waiting] = []
    private var closure = ChannelClosure.open
    private var failure: TestFailure?
    private(set) var hook: [Undelivered] = []
    /// By ticket; a ticket without an answer waits.
    private(set) var answers: [Int: Answer] = [:]
    private(set) var sent = 0
    private(set) var received = 0
    private(set) var conflated = 0
    private(set) var refused = 0
    /// How often a lane with elements was passed over since it was served; the same for lanes with senders.
    private var passed: [Int]
    private var sendersPassed: [Int]

    init(_ plan: BufferPlan) {
        self.plan = plan
        passed = plan.lanes.map { _ in 0 }
        sendersPassed = passed
    }

    var waitingSenders: Int { senders.count }
    var waitingReceivers: Int { receivers.count }
    var waiting: Int { senders.count + receivers.count }
    var isClosed: Bool { closure != .open }
    var cost: Int { buffer.reduce(0) { $0 + $1.cost } }
    var earliestDeadline: Duration? {
        ((senders + receivers).compactMap(\.deadline) + buffer.compactMap(\.deadline)).min()
    }
    private var end: Answer { failure.map(Answer.failed) ?? .end }

    func count(_ reason: Rejection) -> Int { hook.count { $0.reason == reason } }

    // MARK: Sending

    mutating func send(_ ticket: Int, _ element: Int, lane: Int, cost: Int, ttl: Duration?, _ patience: Patience) {
        let item = Item(element: element, lane: lane, cost: cost, deadline: ttl.map { now + $0 })
        switch closure {
        case .open: answers[ticket] = offer(ticket, item, patience)
        case .finished: answers[ticket] = .returned(element, .finished)
        case .abandoned: answers[ticket] = .returned(element, .abandoned)
        }
    }

    private mutating func offer(_ ticket: Int, _ item: Item, _ patience: Patience) -> Answer? {
        if item.cost > min(plan.capacity, plan.lanes[item.lane].bound) { return .returned(item.element, .exceedsLimit) }
        if let deadline = item.deadline, deadline <= now { return .returned(item.element, .expired) }
        let mayPass = plan.order == .arrival ? senders.isEmpty : !senders.contains { $0.item.lane == item.lane }
        if mayPass {
            if !fits(item), plan.policy.evictsLower, laneFits(item) { evictLower(item) }
            if !fits(item), plan.policy.action == .dropOldest { evictOldest(item) }
            if fits(item) {
                enter(item)
                pump()
                return .sent
            }
        }
        switch plan.policy.action {
        case .dropNewest, .dropOldest:
            hook.append(Undelivered(element: item.element, reason: .full))
            return .dropped
        case .conflate: return conflate(item)
        case .reject: return refuse(item)
        case .suspend: break
        }
        var deadline: Duration?
        switch patience {
        case .none: return refuse(item)
        case .timeout(let timeout) where timeout <= .zero: return .returned(item.element, .timedOut)
        case .forever: break
        case .timeout(let timeout): deadline = now + timeout
        }
        var limit = SendLimit.call
        if let own = item.deadline, own < deadline ?? .seconds(1_000_000_000) { (deadline, limit) = (own, .element) }
        if let patience = plan.policy.patience, now + patience < deadline ?? .seconds(1_000_000_000) {
            (deadline, limit) = (now + patience, .policy)
        }
        if !senders.contains(where: { $0.item.lane == item.lane }) { sendersPassed[item.lane] = 0 }
        senders.append(Waiting(ticket: ticket, item: item, deadline: deadline, limit: limit))
        return nil
    }

    private mutating func refuse(_ item: Item) -> Answer {
        refused += 1
        return .returned(item.element, .full)
    }

    /// The merged element is the sum, and costs 1.
    private mutating func conflate(_ item: Item) -> Answer {
        guard let index = buffer.lastIndex(where: { $0.lane == item.lane }) else { fatalError("nothing to merge with") }
        guard 1 - buffer[index].cost <= plan.capacity - cost else { return refuse(item) }
        buffer[index] = Item(
            element: buffer[index].element &+ item.element, lane: item.lane, cost: 1, deadline: item.deadline)
        sent += 1
        conflated += 1
        return .sent
    }

    private func laneFits(_ item: Item) -> Bool {
        buffer.filter { $0.lane == item.lane }.reduce(item.cost) { $0 + $1.cost } <= plan.lanes[item.lane].bound
    }

    private func fits(_ item: Item) -> Bool {
        laneFits(item) && cost + item.cost <= plan.capacity && buffer.count < plan.maxElements
    }

    private mutating func enter(_ item: Item) {
        if !buffer.contains(where: { $0.lane == item.lane }) { passed[item.lane] = 0 }
        buffer.append(item)
        sent += 1
    }

    private mutating func evictLower(_ item: Item) {
        var rest = self
        while !rest.fits(item) {
            let lowest = rest.buffer.map(\.lane).max() ?? 0
            guard lowest > item.lane, let index = rest.buffer.lastIndex(where: { $0.lane == lowest }) else { return }
            rest.hook.append(Undelivered(element: rest.buffer.remove(at: index).element, reason: .evicted))
        }
        self = rest
    }

    private mutating func evictOldest(_ item: Item) {
        while !fits(item) { hook.append(Undelivered(element: buffer.removeFirst().element, reason: .evicted)) }
    }

    // MARK: Receiving

    mutating func receive(_ ticket: Int, _ patience: Patience) {
        if !buffer.isEmpty {
            answers[ticket] = .received(take().element)
            pump()
            return
        }
        if closure != .open {
            answers[ticket] = end
            return
        }
        var deadline: Duration?
        switch patience {
        case .none: return answers[ticket] = .empty
        case .timeout(let timeout) where timeout <= .zero: return answers[ticket] = .rejected(.timedOut)
        case .forever: break
        case .timeout(let timeout): deadline = now + timeout
        }
        let nothing = Item(element: 0, lane: 0, cost: 0, deadline: nil)
        receivers.append(Waiting(ticket: ticket, item: nothing, deadline: deadline, limit: .call))
    }

    private func next(_ lanes: Set<Int>, _ passed: [Int], first: Int) -> Int {
        if plan.order == .arrival { return first }
        let old = lanes.filter { passed[$0] >= plan.aging }
        if let most = old.map({ passed[$0] }).max() { return old.filter { passed[$0] == most }.min() ?? first }
        return lanes.min() ?? first
    }

    private mutating func take() -> Item {
        let lanes = Set(buffer.map(\.lane))
        let lane = next(lanes, passed, first: buffer[0].lane)
        for other in lanes { passed[other] = other == lane ? 0 : passed[other] + 1 }
        guard let index = buffer.firstIndex(where: { $0.lane == lane }) else { fatalError("an empty lane is next") }
        received += 1
        return buffer.remove(at: index)
    }

    private mutating func pump() {
        admit()
        while !receivers.isEmpty, !buffer.isEmpty {
            answers[receivers.removeFirst().ticket] = .received(take().element)
            admit()
        }
        guard closure != .open, buffer.isEmpty else { return }
        for receiver in receivers { answers[receiver.ticket] = end }
        receivers = []
    }

    private mutating func admit() {
        var blocked: Set<Int> = []
        while true {
            let candidates = senders.filter { !blocked.contains($0.item.lane) }
            guard let first = candidates.first else { return }
            let lane = next(Set(candidates.map(\.item.lane)), sendersPassed, first: first.item.lane)
            guard let index = senders.firstIndex(where: { $0.item.lane == lane }) else { return }
            let sender = senders[index]
            guard laneFits(sender.item) else {
                if plan.order == .arrival { return }
                blocked.insert(lane)
                continue
            }
            guard fits(sender.item) else { return }
            for other in Set(senders.map(\.item.lane)) {
                sendersPassed[other] = other == lane ? 0 : sendersPassed[other] + 1
            }
            senders.remove(at: index)
            enter(sender.item)
            answers[sender.ticket] = .sent
            blocked = []
        }
    }

    // MARK: Ends

    mutating func finish(_ failure: TestFailure?) {
        guard closure == .open else { return }
        closure = .finished
        self.failure = failure
        for sender in senders { answers[sender.ticket] = .returned(sender.item.element, .finished) }
        senders = []
        pump()
    }

    mutating func cancel() {
        guard closure != .abandoned else { return }
        closure = .abandoned
        for sender in senders { answers[sender.ticket] = .returned(sender.item.element, .abandoned) }
        senders = []
        for item in buffer { hook.append(Undelivered(element: item.element, reason: .abandoned)) }
        buffer = []
        pump()
    }

    mutating func cancelTask(_ ticket: Int) {
        if let index = senders.firstIndex(where: { $0.ticket == ticket }) {
            answers[ticket] = .returned(senders.remove(at: index).item.element, .cancelled)
        } else if let index = receivers.firstIndex(where: { $0.ticket == ticket }) {
            receivers.remove(at: index)
            answers[ticket] = .rejected(.cancelled)
        }
        pump()
    }

    mutating func advance(by duration: Duration) {
        now += duration
        let isDue = { [now] (deadline: Duration?) in deadline.map { $0 <= now } ?? false }
        for sender in senders where isDue(sender.deadline) {
            switch sender.limit {
            case .call: answers[sender.ticket] = .returned(sender.item.element, .timedOut)
            case .element: answers[sender.ticket] = .returned(sender.item.element, .expired)
            case .policy:
                answers[sender.ticket] = .dropped
                hook.append(Undelivered(element: sender.item.element, reason: .timedOut))
            }
        }
        senders.removeAll { isDue($0.deadline) }
        for receiver in receivers where isDue(receiver.deadline) { answers[receiver.ticket] = .rejected(.timedOut) }
        receivers.removeAll { isDue($0.deadline) }
        for item in buffer where isDue(item.deadline) {
            hook.append(Undelivered(element: item.element, reason: .expired))
        }
        buffer.removeAll { isDue($0.deadline) }
        pump()
    }

    /// Whether a snapshot of the buffer says the same.
    func agrees(with snapshot: BufferSnapshot) -> Bool {
        snapshot.depth == buffer.count && snapshot.cost == cost && snapshot.sent == UInt64(sent)
            && snapshot.received == UInt64(received) && snapshot.conflated == UInt64(conflated)
            && snapshot.refused == UInt64(refused) && snapshot.evicted == UInt64(count(.evicted))
            && snapshot.expired == UInt64(count(.expired)) && snapshot.abandoned == UInt64(count(.abandoned))
            && snapshot.droppedNewest == UInt64(count(.full) + count(.timedOut))
            && snapshot.waitingSenders == senders.count && snapshot.waitingReceivers == receivers.count
            && snapshot.isClosed == isClosed
    }
}

extension BufferSnapshot {
    /// The identities that hold at every instant.
    var isConsistent: Bool {
        lanes.allSatisfy {
            $0.sent == $0.received + UInt64($0.depth) + $0.evicted + $0.expired + $0.shed + $0.conflated
                + $0.abandoned
                && $0.cost <= $0.capacity && $0.depth >= 0
        } && sent == received + UInt64(depth) + evicted + expired + shed + conflated + abandoned && cost <= capacity
            && depth <= maxElements && peakDepth >= depth && peakDepth <= maxElements
            && lanes.reduce(0) { $0 + $1.depth } == depth && lanes.reduce(0) { $0 + $1.cost } == cost
    }
}
