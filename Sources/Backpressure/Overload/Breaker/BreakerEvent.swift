// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a circuit breaker tells of itself, to those who count or log it.

/// Something that happened to a circuit breaker.
///
/// ```swift
/// let breaker = CircuitBreaker(
///     "prices",
///     onEvent: { event in
///         switch event {
///         case .changed(let transition): print("\(transition.from) -> \(transition.to): \(transition.cause)")
///         case .rejected(let retryAfter): print("come again in \(retryAfter ?? .zero)")
///         default: break
///         }
///     })
/// ```
public enum BreakerEvent: Hashable, Sendable {
    /// A call went well, and took so long.
    case succeeded(took: Duration)
    /// A call failed, after so long.
    case failed(took: Duration)
    /// A call said nothing about the dependency.
    case ignored
    /// A call reported after the state in which it began had ended: it counted for nothing.
    case late
    /// A call was turned away, with the time to come again where it is known.
    case rejected(retryAfter: Duration?)
    /// The state changed.
    case changed(BreakerTransition)
}

/// A change of state of a circuit breaker.
public struct BreakerTransition: Hashable, Sendable {
    /// The state before.
    public let from: BreakerState
    /// The state after.
    public let to: BreakerState
    /// The number of the new state: each has a greater one than the last.
    public let generation: UInt64
    /// Why it changed.
    public let cause: BreakerCause
}
