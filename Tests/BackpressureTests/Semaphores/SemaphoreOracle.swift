// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a semaphore must do, as a plain sequential program: the specification that the matrix and the walks compare with.

@testable import Backpressure

/// A semaphore between operations that never overlap.
struct SemaphoreOracle {
    private struct Waiting {
        let ticket: Int
        let count: Int
        let deadline: Duration?
    }

    let order: WaiterOrder
    let waiterLimit: Int
    private(set) var limit: Int
    private(set) var inUse = 0
    private(set) var forgotten = 0
    private(set) var now: Duration = .zero
    private var queue: [Waiting] = []
    private(set) var isClosed = false
    /// By ticket; a ticket without an answer waits.
    private(set) var answers: [Int: AcquireAnswer] = [:]
    private(set) var counters = SemaphoreCounters()
    private(set) var acquisitions: UInt64 = 0
    private(set) var refused: UInt64 = 0

    init(limit: Int, order: WaiterOrder, waiterLimit: Int) {
        self.limit = limit
        self.order = order
        self.waiterLimit = waiterLimit
    }

    var waiting: Int { queue.count }
    var waitingTickets: [Int] { queue.map(\.ticket).sorted() }
    var heldTickets: [Int] {
        answers.keys.filter { if case .held? = answers[$0] { true } else { false } }.sorted()
    }
    var earliestDeadline: Duration? { queue.compactMap(\.deadline).min() }

    mutating func acquire(_ ticket: Int, _ count: Int, _ patience: Patience) {
        answers[ticket] = outcome(ticket, count, patience)
        if answers[ticket] == .refused { refused += 1 }
    }

    private mutating func outcome(_ ticket: Int, _ count: Int, _ patience: Patience) -> AcquireAnswer? {
        let isTry = patience == .none
        if isClosed { return isTry ? .refused : .rejected(.closed) }
        if count > limit {
            // A try that finds too few permits and an open gate is refused by the word alone.
            if !isTry || !queue.isEmpty { counters.exceeded += 1 }
            return isTry ? .refused : .rejected(.exceedsLimit)
        }
        let isNext = queue.isEmpty || (!isTry && queue.count >= order.fifoUpTo)
        if isNext, inUse + count <= limit { return grant(count) }
        switch patience {
        case .none: return .refused
        case .timeout(let timeout) where timeout <= .zero:
            counters.timedOut += 1
            return .rejected(.timedOut)
        case .forever, .timeout:
            guard queue.count < waiterLimit else {
                counters.rejected += 1
                return .rejected(.full)
            }
            queue.append(Waiting(ticket: ticket, count: count, deadline: deadline(patience)))
            counters.parked += 1
            counters.peakWaiting = max(counters.peakWaiting, queue.count)
            return nil
        }
    }

    private mutating func grant(_ count: Int) -> AcquireAnswer {
        inUse += count
        acquisitions += 1
        return .held(count)
    }

    private func deadline(_ patience: Patience) -> Duration? {
        guard case .timeout(let timeout) = patience, timeout.saturatingNanoseconds < .max else { return nil }
        return now + timeout
    }

    private mutating func serve() {
        while !queue.isEmpty {
            let index = queue.count > order.fifoUpTo ? queue.count - 1 : 0
            guard inUse + queue[index].count <= limit else { return }
            let waiting = queue.remove(at: index)
            answers[waiting.ticket] = grant(waiting.count)
        }
    }

    mutating func release(_ ticket: Int) {
        guard case .held(let count)? = answers[ticket] else { return }
        answers[ticket] = .released
        inUse -= count
        serve()
    }

    mutating func forget(_ ticket: Int) {
        guard case .held(let count)? = answers[ticket] else { return }
        answers[ticket] = .forgotten
        forgotten += count
    }

    mutating func restore(_ count: Int) {
        forgotten -= count
        inUse -= count
        serve()
    }

    mutating func cancel(_ ticket: Int) {
        guard let index = queue.firstIndex(where: { $0.ticket == ticket }) else { return }
        queue.remove(at: index)
        counters.cancelled += 1
        answers[ticket] = .rejected(.cancelled)
        serve()
    }

    mutating func resize(to limit: Int) {
        self.limit = limit
        for waiting in queue where waiting.count > limit {
            counters.exceeded += 1
            answers[waiting.ticket] = .rejected(.exceedsLimit)
        }
        queue.removeAll { $0.count > limit }
        serve()
    }

    mutating func close() {
        guard !isClosed else { return }
        isClosed = true
        for waiting in queue { answers[waiting.ticket] = .rejected(.closed) }
        queue = []
    }

    mutating func advance(by duration: Duration) {
        now += duration
        let present = now
        for waiting in queue where waiting.deadline.map({ $0 <= present }) ?? false {
            counters.timedOut += 1
            answers[waiting.ticket] = .rejected(.timedOut)
        }
        queue.removeAll { $0.deadline.map { $0 <= present } ?? false }
        serve()
    }

    /// The snapshot that the semaphore must show, with the peak of permits taken from `snapshot`: it is sampled.
    ///
    /// How long waits took is not the oracle's to say; that somebody's is known exactly while somebody waits is.
    func agrees(with snapshot: SemaphoreSnapshot) -> Bool {
        var seen = snapshot
        (seen.oldestWait, seen.waits) = (nil, WaitHistogram())
        return snapshot.waits.count <= counters.parked && (snapshot.oldestWait != nil) == !queue.isEmpty
            && seen
                == SemaphoreSnapshot(
                    name: nil, limit: limit, available: max(limit - inUse, 0), inUse: inUse,
                    debt: max(inUse - limit, 0),
                    forgotten: forgotten, peakInUse: snapshot.peakInUse, waiting: queue.count,
                    peakWaiting: counters.peakWaiting, acquisitions: acquisitions, parked: counters.parked,
                    refused: refused, rejected: counters.rejected, exceeded: counters.exceeded,
                    timedOut: counters.timedOut, cancelled: counters.cancelled, isClosed: isClosed)
    }
}
