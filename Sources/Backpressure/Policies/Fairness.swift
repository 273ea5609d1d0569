// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

/// How far a newcomer may pass tasks that already wait.
///
/// Tasks that wait are always served in the order in which they began to wait, and the elements of one producer always
/// keep their order. Fairness is about newcomers: operations that find room (or an element) although others wait.
///
/// Strict order costs a task switch for every hand-over as soon as more tasks want to send than there is room for:
/// the waiting task must run before anybody else may. Letting newcomers pass while a served task is on its way to a
/// thread keeps the buffer busy, and a hard bound keeps the waiting tasks from starving.
public struct Fairness: Hashable, Sendable {
    /// How many newcomers may pass a waiting task.
    let bypass: UInt64

    /// A newcomer never passes a waiting task.
    public static let fifo = Fairness(bypass: 0)

    /// At most `bypass` newcomers pass any one waiting task; after that they queue behind it until it is served.
    ///
    /// - Parameter bypass: The bound, at least 0; 0 is ``fifo``. It counts operations, not tasks.
    /// - Returns: The fairness with that bound.
    /// - Precondition: `bypass >= 0`.
    public static func eventual(bypass: Int) -> Fairness {
        precondition(bypass >= 0, "a bypass bound of \(bypass) is negative")
        return Fairness(bypass: UInt64(bypass))
    }

    /// ``eventual(bypass:)`` with a bound of 1,024 operations.
    public static let `default` = Fairness.eventual(bypass: 1024)
}
