// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// An element that knows when it was sent: the exact time in queue, for those who want it, at 16 bytes an element and one
// reading of the clock at each end. Without it the mean comes for nothing, by Little's law: depth over throughput.

/// An element, and the instant at which it was made ready to be sent.
///
/// ```swift
/// let orders = BoundedChannel<Timestamped<String, ContinuousClock>, Never>(capacity: 16)
/// _ = await orders.send(Timestamped("tea"))
/// if let order = try await orders.receive() {
///     print("\(order.element) waited \(order.age())")
/// }
/// ```
///
/// A ``StageMeter`` stamps elements and keeps the times in histograms. Any channel and any stage takes it, for it is an
/// element like any other; it is `Copyable` and `Sendable` where its element is.
public struct Timestamped<Element: ~Copyable, C: Clock<Duration>>: ~Copyable {
    /// The element.
    public var element: Element
    /// When it was stamped.
    public let instant: C.Instant
    /// The clock of the stamp.
    public let clock: C

    /// The element, stamped now.
    ///
    /// - Parameters:
    ///   - element: The element.
    ///   - clock: The clock of the stamp.
    @inlinable
    public init(_ element: consuming Element, clock: C) {
        self.element = element
        self.clock = clock
        instant = clock.now
    }

    /// How long ago it was stamped; zero when the clock has gone back.
    @inlinable
    public func age() -> Duration { max(.zero, instant.duration(to: clock.now)) }

    /// The element without its stamp.
    @inlinable
    public consuming func take() -> Element { element }
}

extension Timestamped where C == ContinuousClock, Element: ~Copyable {
    /// The element, stamped now on the continuous clock.
    ///
    /// - Parameter element: The element.
    @inlinable
    public init(_ element: consuming Element) { self.init(element, clock: ContinuousClock()) }
}

extension Timestamped: Copyable where Element: Copyable {}
extension Timestamped: Sendable where Element: Sendable & ~Copyable {}
