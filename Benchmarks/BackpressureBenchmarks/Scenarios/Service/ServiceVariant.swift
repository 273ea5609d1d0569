// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One service, guarded in six ways, and the numbers that all of them share.

/// How a service protects itself against more load than it can take.
enum ServiceVariant: String, CaseIterable, Sendable {
    /// Every request goes straight to the downstream.
    case nothing
    /// As many calls at once as the downstream can do; the others wait, however many they are.
    case unbounded
    /// The same with a bound on those who wait; who finds no room is rejected.
    case reject
    /// The same, and what has waited in a queue that stands is shed.
    case codel
    /// Nobody says how many calls the downstream can do: the limit finds out.
    case adaptive
    /// The same with a place kept for critical requests, the least important shed first, a quota for each user, and
    /// callers whose retries are budgeted.
    case full

    var title: String {
        switch self {
        case .nothing: "nothing"
        case .unbounded: "unbounded queue"
        case .reject: "bounded + reject"
        case .codel: "bounded + CoDel"
        case .adaptive: "adaptive limit"
        case .full: "adaptive + priorities + budget"
        }
    }

    /// What the row calls it in a narrow place.
    var shortTitle: String {
        switch self {
        case .nothing: "nothing"
        case .unbounded: "unbounded"
        case .reject: "reject"
        case .codel: "CoDel"
        case .adaptive: "adaptive"
        case .full: "full"
        }
    }

    /// Whether the library's primitives guard it with a bound.
    var isOurs: Bool { self != .nothing && self != .unbounded }
}

/// The numbers of a service and of its callers; times in nanoseconds.
struct ServiceSettings: Sendable, Equatable {
    /// How many calls the downstream works on at once.
    var slots = 8
    /// What a call takes there, on average.
    var work: Int
    /// An answer that comes later is of no use, counted from the moment at which the request was due.
    var objective: Int
    /// How long a caller waits for the answer to one try; nil for ever.
    var patience: Int?
    /// After so long, counted from the moment at which the request was due, a caller does not try again.
    var persistence: Int
    /// What rejected callers are told about when to come again.
    var retryAfter: Duration
    /// How many requests wait at most, where that is bounded.
    var queue = 64
    /// How many requests are critical, as a part.
    var criticalPart = 0.1
    /// How many users there are; the first one makes a fifth of what is not critical.
    var users = 100

    /// Nanoseconds between two calibrations of the full guard's shedder: some calls long, so that it counts enough of them.
    var calibrationPeriod: Int { min(work * 6, 100_000_000) }

    /// Calls per second that the downstream can do.
    var capacity: Double { Double(slots) * 1e9 / Double(work) }
}
