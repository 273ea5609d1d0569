// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a channel must do, as a plain sequential program: the specification that the matrix and the walks compare with.

@testable import Backpressure

/// A bounded channel between operations that never overlap.
struct ChannelOracle {
    private struct Waiting {
        let ticket: Int
        let element: Int
        let deadline: Duration?
    }

    let capacity: Int
    let overflow: OverflowPolicy
    private(set) var now: Duration = .zero
    private(set) var buffer: [Int] = []
    private var senders: [Waiting] = []
    private var receivers: [Waiting] = []
    private var closure: ChannelClosure = .open
    private var failure: TestFailure?
    private(set) var hook: [Undelivered] = []
    /// By ticket; a ticket without an answer waits.
    private(set) var answers: [Int: Answer] = [:]
    private(set) var counters = ChannelCounters()
    private(set) var sent: UInt64 = 0
    private(set) var received: UInt64 = 0
    private(set) var refused: UInt64 = 0

    init(capacity: Int, overflow: OverflowPolicy) {
        self.capacity = capacity
        self.overflow = overflow
    }

    var waitingSenders: Int { senders.count }
    var waitingReceivers: Int { receivers.count }
    var waiting: Int { senders.count + receivers.count }
    var isClosed: Bool { closure != .open }
    var earliestDeadline: Duration? { (senders + receivers).compactMap(\.deadline).min() }
    private var end: Answer { failure.map(Answer.failed) ?? .end }

    mutating func send(_ ticket: Int, _ element: Int, _ patience: Patience) {
        switch closure {
        case .open: answers[ticket] = offer(ticket, element, patience)
        case .finished: answers[ticket] = .returned(element, .finished)
        case .abandoned: answers[ticket] = .returned(element, .abandoned)
        }
    }

    private mutating func offer(_ ticket: Int, _ element: Int, _ patience: Patience) -> Answer? {
        if !receivers.isEmpty {
            sent += 1
            received += 1
            answers[receivers.removeFirst().ticket] = .received(element)
            return .sent
        }
        if buffer.count < capacity {
            sent += 1
            buffer.append(element)
            return .sent
        }
        switch overflow.kind {
        case .dropNewest:
            counters.droppedNewest += 1
            hook.append(Undelivered(element: element, reason: .full))
            return .dropped
        case .dropOldest:
            counters.evicted += 1
            hook.append(Undelivered(element: buffer.removeFirst(), reason: .evicted))
            sent += 1
            buffer.append(element)
            return .sent
        case .reject:
            refused += 1
            return .returned(element, .full)
        case .suspend: break
        case .suspendFor: preconditionFailure("the oracle knows no policy of two tiers")
        }
        switch patience {
        case .none:
            refused += 1
            return .returned(element, .full)
        case .timeout(let timeout) where timeout <= .zero:
            counters.sendsTimedOut += 1
            return .returned(element, .timedOut)
        case .forever, .timeout:
            counters.sendsParked += 1
            senders.append(Waiting(ticket: ticket, element: element, deadline: deadline(patience)))
            return nil
        }
    }

    mutating func receive(_ ticket: Int, _ patience: Patience) {
        if !buffer.isEmpty {
            received += 1
            answers[ticket] = .received(buffer.removeFirst())
            if !senders.isEmpty {
                let sender = senders.removeFirst()
                sent += 1
                buffer.append(sender.element)
                answers[sender.ticket] = .sent
            }
            return
        }
        if closure != .open {
            answers[ticket] = end
            return
        }
        switch patience {
        case .none: answers[ticket] = .empty
        case .timeout(let timeout) where timeout <= .zero:
            counters.receivesTimedOut += 1
            answers[ticket] = .rejected(.timedOut)
        case .forever, .timeout:
            counters.receivesParked += 1
            receivers.append(Waiting(ticket: ticket, element: 0, deadline: deadline(patience)))
        }
    }

    private func deadline(_ patience: Patience) -> Duration? {
        guard case .timeout(let timeout) = patience, timeout.saturatingNanoseconds < .max else { return nil }
        return now + timeout
    }

    mutating func finish(_ error: TestFailure?) {
        guard closure == .open else { return }
        closure = .finished
        failure = error
        endWaiters(.finished)
    }

    mutating func cancel() {
        guard closure != .abandoned else { return }
        closure = .abandoned
        counters.abandoned += UInt64(buffer.count)
        hook += buffer.map { Undelivered(element: $0, reason: .abandoned) }
        buffer = []
        endWaiters(.abandoned)
    }

    private mutating func endWaiters(_ reason: Rejection) {
        for sender in senders { answers[sender.ticket] = .returned(sender.element, reason) }
        for receiver in receivers { answers[receiver.ticket] = end }
        senders = []
        receivers = []
    }

    /// The task of `ticket` is cancelled.
    mutating func cancelTask(_ ticket: Int) {
        if let index = senders.firstIndex(where: { $0.ticket == ticket }) {
            counters.sendsCancelled += 1
            answers[ticket] = .returned(senders.remove(at: index).element, .cancelled)
        } else if let index = receivers.firstIndex(where: { $0.ticket == ticket }) {
            counters.receivesCancelled += 1
            receivers.remove(at: index)
            answers[ticket] = .rejected(.cancelled)
        }
    }

    mutating func advance(by duration: Duration) {
        now += duration
        for sender in senders where sender.deadline.map({ $0 <= now }) ?? false {
            counters.sendsTimedOut += 1
            answers[sender.ticket] = .returned(sender.element, .timedOut)
        }
        for receiver in receivers where receiver.deadline.map({ $0 <= now }) ?? false {
            counters.receivesTimedOut += 1
            answers[receiver.ticket] = .rejected(.timedOut)
        }
        let present = now
        senders.removeAll { $0.deadline.map { $0 <= present } ?? false }
        receivers.removeAll { $0.deadline.map { $0 <= present } ?? false }
    }

    /// The snapshot that the channel must show, with the peak taken from `snapshot`: it is sampled.
    ///
    /// How long waits took is not the oracle's to say; that somebody's is known exactly while somebody waits is.
    func agrees(with snapshot: ChannelSnapshot) -> Bool {
        var seen = snapshot
        (seen.oldestSendWait, seen.oldestReceiveWait) = (nil, nil)
        (seen.sendWaits, seen.receiveWaits) = (WaitHistogram(), WaitHistogram())
        return snapshot.sendWaits.count <= counters.sendsParked
            && snapshot.receiveWaits.count <= counters.receivesParked
            && (snapshot.oldestSendWait != nil) == !senders.isEmpty
            && (snapshot.oldestReceiveWait != nil) == !receivers.isEmpty
            && seen
                == ChannelSnapshot(
                    capacity: capacity, depth: buffer.count, reserved: 0, peakDepth: snapshot.peakDepth, sent: sent,
                    received: received,
                    droppedNewest: counters.droppedNewest, evicted: counters.evicted, abandoned: counters.abandoned,
                    refused: refused, sendsTimedOut: counters.sendsTimedOut, sendsCancelled: counters.sendsCancelled,
                    receivesTimedOut: counters.receivesTimedOut, receivesCancelled: counters.receivesCancelled,
                    waitingSenders: senders.count, waitingReceivers: receivers.count, sendsParked: counters.sendsParked,
                    receivesParked: counters.receivesParked, isClosed: isClosed)
    }
}
