// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// How long a wait may last, as the caller says it and as a primitive keeps it.

/// What bounds a wait.
@usableFromInline
enum WaitLimit: Sendable {
    case none
    case timeout(Duration)
    /// On the primitive's own clock.
    case deadline(Int64)
}

/// When a wait began and when it must end, on the primitive's clock.
@usableFromInline
struct WaitTimes: Sendable {
    let now: Int64
    let deadline: Int64
    /// The deadline is the policy's and not the caller's: when it passes, the policy says what happens.
    var fallsBack = false
}

extension TimeSource {
    /// The bound of a wait until an instant of this clock.
    ///
    /// - Precondition: It is one.
    func waitLimit(until deadline: some InstantProtocol<Duration>) -> WaitLimit {
        guard let nanoseconds = nanoseconds(of: deadline) else {
            preconditionFailure("the deadline is no instant of the primitive's clock but a \(type(of: deadline))")
        }
        return .deadline(nanoseconds)
    }

    /// When a wait that begins now must end; a clock is code of a user, so no lock is held.
    func waitTimes(_ limit: WaitLimit) -> WaitTimes {
        let now = now()
        switch limit {
        case .none: return WaitTimes(now: now, deadline: .max)
        case .timeout(let duration):
            return WaitTimes(now: now, deadline: duration > .zero ? deadline(after: duration) : now)
        case .deadline(let deadline): return WaitTimes(now: now, deadline: deadline)
        }
    }
}
