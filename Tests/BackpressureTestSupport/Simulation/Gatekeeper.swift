// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a simulation leaves to the code under test: whom to admit, and what to try again.

/// One try of a simulated request.
public struct SimulatedCall: Hashable, Sendable {
    /// Which call this is; no two have the same.
    public let number: Int
    /// Whether it belongs to the critical class.
    public let isCritical: Bool
    /// When it was sent, in nanoseconds.
    public let sentAt: Int64
    /// Which request it belongs to.
    let request: Int
    /// 1 for the first try.
    let attempt: Int

    /// Which try of its request it is; 1 for the first.
    public var attemptNumber: Int { attempt }
}

/// How an admitted call ended.
public enum SimulatedOutcome: Sendable {
    /// Answered in time.
    case answered
    /// Answered when nobody waited any more.
    case late
    /// Answered by a failure.
    case failed
}

/// Decides about calls before they reach the servers.
public protocol Gatekeeper: AnyObject {
    /// A call arrives: true to admit, false to turn away, nil to let it wait.
    func admit(_ call: SimulatedCall, now: Int64) -> Bool?

    /// An admitted call ended.
    func settle(_ call: SimulatedCall, _ outcome: SimulatedOutcome, now: Int64)

    /// The calls whose wait is over: admitted or turned away.
    func ended(now: Int64) -> [(call: SimulatedCall, isAdmitted: Bool)]

    /// When `ended` must be asked although nothing else happens; `Int64.max` for never.
    var deadline: Int64 { get }
}

/// Admits everything: what a service without overload control does.
public final class OpenDoor: Gatekeeper {
    /// A door that is open.
    public init() {}

    /// Admits.
    public func admit(_ call: SimulatedCall, now: Int64) -> Bool? { true }
    /// Nothing.
    public func settle(_ call: SimulatedCall, _ outcome: SimulatedOutcome, now: Int64) {}
    /// Nobody.
    public func ended(now: Int64) -> [(call: SimulatedCall, isAdmitted: Bool)] { [] }
    /// Never.
    public var deadline: Int64 { .max }
}

/// Decides whether a caller tries again.
public protocol SimulatedRetry: AnyObject {
    /// A request is made for the first time.
    func requested(now: Int64)

    /// The call failed, was turned away, or was not answered in time: after how long to try again, or nil to give up.
    func delay(after call: SimulatedCall, now: Int64) -> Int64?
}

/// Never tries again.
public final class NoRetry: SimulatedRetry {
    /// A caller that gives up.
    public init() {}

    /// Nothing.
    public func requested(now: Int64) {}
    /// Gives up.
    public func delay(after call: SimulatedCall, now: Int64) -> Int64? { nil }
}

/// Tries again so many times, at once: what the first version of every client does.
public final class NaiveRetry: SimulatedRetry {
    private let tries: Int
    private let pause: Int64

    /// A caller that tries so many times in all, with a pause in between.
    public init(tries: Int = 4, pause: Int64 = 10_000_000) {
        self.tries = tries
        self.pause = pause
    }

    /// Nothing.
    public func requested(now: Int64) {}
    /// The pause, until all tries are used up.
    public func delay(after call: SimulatedCall, now: Int64) -> Int64? { call.attempt < tries ? pause : nil }
}
