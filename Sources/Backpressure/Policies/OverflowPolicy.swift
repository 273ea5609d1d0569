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
///
/// No policy makes the buffer grow beyond its capacity.
public struct OverflowPolicy: Hashable, Sendable {
    enum Kind: Hashable, Sendable {
        case suspend
        case reject
        case dropNewest
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
}

extension OverflowPolicy: CustomStringConvertible {
    /// The policy's name.
    public var description: String {
        switch kind {
        case .suspend: "suspend"
        case .reject: "reject"
        case .dropNewest: "dropNewest"
        case .dropOldest: "dropOldest"
        }
    }
}
