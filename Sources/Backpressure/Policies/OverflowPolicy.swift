// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// What a bounded buffer does with an element for which it has no room, named by what is lost.
///
/// | policy | who waits | what is lost | who learns of it |
/// |---|---|---|---|
/// | ``suspend`` | the sender's task | nothing | - |
/// | ``reject`` | nobody | nothing: the sender gets its element back | the sender |
/// | ``dropNewest`` | nobody | the arriving element | the `onUndelivered` hook, and the sender by `.dropped` |
/// | ``dropOldest`` | nobody | the element that waited longest | the `onUndelivered` hook |
/// | ``suspend(for:then:)`` | the sender's task, for a while | then as the policy after it | as there |
///
/// No policy makes the buffer grow beyond its capacity.
public struct OverflowPolicy: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        case suspend
        case reject
        case dropNewest
        case dropOldest
        /// For so many nanoseconds: half the size of a `Duration`, in every channel.
        case suspendFor(Int64, Fallback)
    }

    /// What happens to an element whose sender has waited long enough: see ``suspend(for:then:)``.
    public enum Fallback: String, Hashable, Sendable {
        /// The sender gets it back.
        case reject
        /// It is dropped.
        case dropNewest
        /// It is taken in, and the element that has been queued longest is dropped.
        case dropOldest
    }

    let kind: Kind

    /// The sender's task waits until there is room.
    ///
    /// Choose it when nothing may be lost and the producer can be slowed.
    public static let suspend = OverflowPolicy(kind: .suspend)

    /// The sender gets its element back at once.
    ///
    /// Choose it when the producer can do better than wait.
    public static let reject = OverflowPolicy(kind: .reject)

    /// The arriving element is dropped.
    ///
    /// Choose it when what is already queued is worth more than what comes.
    public static let dropNewest = OverflowPolicy(kind: .dropNewest)

    /// The element that has been queued longest is dropped to make room.
    ///
    /// Choose it when only recent elements count.
    ///
    /// Exactly one element is dropped per overflow, taken as a receiver would take it; never one that is newer than the
    /// arriving element.
    public static let dropOldest = OverflowPolicy(kind: .dropOldest)

    /// The sender's task waits until there is room, but no longer than `patience`; then comes the fallback.
    ///
    /// Choose it when a short jam shall slow the producer down, and a long one must not stop it.
    ///
    /// - ``Fallback/reject``: the element comes back with ``Rejection/full``.
    /// - ``Fallback/dropNewest``: the answer is `.dropped`, and the element goes to the `onUndelivered` hook.
    /// - ``Fallback/dropOldest``: the answer is `.sent`, and the oldest element goes to the hook; with
    ///   ``Rejection/full`` the element comes back if all the room is reserved.
    ///
    /// A shorter timeout of the sender's own ends its wait as under ``suspend``, and nothing is dropped. An operation
    /// that does not wait goes over to the fallback at once, passing the tasks that wait. A reservation never drops
    /// anything: it waits as long, and is then refused with ``Rejection/full``.
    ///
    /// - Parameters:
    ///   - patience: The longest wait, on the buffer's clock; more than zero, rounded up to whole nanoseconds.
    ///   - fallback: What happens then.
    /// - Returns: The policy of both tiers.
    /// - Precondition: `patience > .zero`.
    public static func suspend(for patience: Duration, then fallback: Fallback) -> OverflowPolicy {
        precondition(patience > .zero, "a patience of \(patience)")
        return OverflowPolicy(kind: .suspendFor(patience.saturatingNanoseconds, fallback))
    }

    // MARK: Its two tiers

    /// Whether an operation that may wait does.
    var waits: Bool {
        switch kind {
        case .suspend, .suspendFor: true
        case .reject, .dropNewest, .dropOldest: false
        }
    }

    /// How long the policy lets an operation wait; nil for as long as it takes.
    var patience: Duration? {
        guard case .suspendFor(let nanoseconds, _) = kind else { return nil }
        return .nanoseconds(nanoseconds)
    }

    /// What is done for an operation that does not wait, or waits no longer.
    var atOnce: Fallback {
        switch kind {
        case .suspend, .reject: .reject
        case .dropNewest: .dropNewest
        case .dropOldest: .dropOldest
        case .suspendFor(_, let fallback): fallback
        }
    }
}

extension OverflowPolicy: CustomStringConvertible {
    /// The policy's name.
    public var description: String {
        switch kind {
        case .suspend: "suspend"
        case .reject: "reject"
        case .dropNewest: "dropNewest"
        case .dropOldest: "dropOldest"
        case .suspendFor(let nanoseconds, let fallback):
            "suspend for \(Duration.nanoseconds(nanoseconds)), then \(fallback)"
        }
    }
}
