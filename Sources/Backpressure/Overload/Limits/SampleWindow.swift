// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Many calls make one sample: how long they took on average, how many ran at once, whether one was dropped.
//
// Times of calls scatter widely, and a limit that reacts to each would follow the noise. A window ends when it has so
// many calls that their average means something (four times the limit, at least `leastCount`, so that at any limit about
// the same number of rounds is seen), and has lasted `leastLength`; at `greatestLength` it ends with what it has, if it
// has `leastCount`.
//
// ## Invariants
// I1  A call counts once: with its time, which is more than zero, or as a drop. A dropped call tells when it was given up,
//     not what it would have taken; the hundreds that were stuck in a stall would otherwise make the calls after it look
//     slow for as long, and the limit fall for a reason that is gone. A time whose end was read before its start, because
//     the clock stepped back, does not count.
// I2  The sum of the times saturates and never wraps around.

/// The calls of the window that runs.
struct SampleWindow: Sendable {
    let leastLength: Int64
    let greatestLength: Int64
    let leastCount: Int

    private var start: Int64?
    private var sum: Int64 = 0
    private var count = 0
    private var inFlight = 0
    private var didDrop = false

    init(leastLength: Int64 = 100_000_000, greatestLength: Int64 = 1_000_000_000, leastCount: Int = 10) {
        self.leastLength = leastLength
        self.greatestLength = greatestLength
        self.leastCount = leastCount
    }

    /// Adds a call that ended at `now`; returns the sample of the window if it ended it.
    mutating func add(began: Int64, now: Int64, inFlight running: Int, didDrop dropped: Bool, limit: Int)
        -> LimitSample?
    {
        inFlight = max(inFlight, running)
        if dropped { didDrop = true }
        let length = now.subtractingSaturating(began)
        if !dropped, length > 0 {
            sum = sum.addingSaturating(length)
            count += 1
        }
        guard let start, now >= start else {
            // The first call, or the clock stepped back.
            start = now
            return nil
        }
        let passed = now.subtractingSaturating(start)
        let isFull = count >= max(leastCount, 4 * limit) && passed >= leastLength
        guard isFull || (passed >= greatestLength && count >= leastCount) || (passed >= greatestLength && didDrop)
        else { return nil }
        let average = count > 0 ? sum / Int64(count) : 0
        let sample = LimitSample(roundTrip: .nanoseconds(average), inFlight: inFlight, didDrop: didDrop)
        self.start = now
        (sum, count, inFlight, didDrop) = (0, 0, 0, false)
        return sample
    }
}
