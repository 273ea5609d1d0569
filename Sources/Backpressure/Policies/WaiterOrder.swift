// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// Which of the tasks that wait is served next.
///
/// First in, first out is fair, and right as long as the queue is short. Under overload a queue holds every task just
/// long enough for its caller to give up: then all of the work done is for nobody. Serving the newest first completes
/// at least those requests that somebody still waits for, and lets the old ones run into their timeouts. So give every
/// wait a timeout with ``lifo`` and ``adaptiveLIFO(above:)``, and a bound to the queue: the oldest may wait for ever.
public struct WaiterOrder: Hashable, Sendable {
    /// With more waiters than this the newest is next.
    let fifoUpTo: Int

    /// The task that began to wait first is served first.
    public static let fifo = WaiterOrder(fifoUpTo: .max)

    /// The task that began to wait last is served first.
    public static let lifo = WaiterOrder(fifoUpTo: 0)

    /// First in, first out while at most `backlog` tasks wait, the newest first while more do.
    ///
    /// - Parameter backlog: The longest queue that counts as healthy, at least 0; 0 is ``lifo``.
    /// - Returns: The order that turns round above that backlog.
    /// - Precondition: `backlog >= 0`.
    public static func adaptiveLIFO(above backlog: Int) -> WaiterOrder {
        precondition(backlog >= 0, "a backlog of \(backlog) is negative")
        return WaiterOrder(fifoUpTo: backlog)
    }
}
