// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What came of a simulation, second by second.

/// The course of a simulation.
public struct SimulationReport: Sendable {
    private struct Second {
        var requests = 0
        var criticalRequests = 0
        var calls = 0
        var retries = 0
        var answers = 0
        var turnedAway = 0
        /// Of those that were sent in this second, by their callers.
        var criticalAnswers = 0
        var latencies: [Int64] = []
    }

    private var seconds: [Second]
    /// The longest queue before the servers.
    public private(set) var longestQueue = 0

    init(length: Int64) { seconds = Array(repeating: Second(), count: Int(length / 1_000_000_000) + 1) }

    private func second(_ time: Int64) -> Int { min(max(Int(time / 1_000_000_000), 0), seconds.count - 1) }

    mutating func requested(isCritical: Bool, _ now: Int64) {
        seconds[second(now)].requests += 1
        if isCritical { seconds[second(now)].criticalRequests += 1 }
    }

    mutating func called(attempt: Int, _ now: Int64) {
        seconds[second(now)].calls += 1
        if attempt > 1 { seconds[second(now)].retries += 1 }
    }

    mutating func answered(isCritical: Bool, sentAt: Int64, _ now: Int64) {
        seconds[second(now)].answers += 1
        if isCritical { seconds[second(sentAt)].criticalAnswers += 1 }
    }

    mutating func served(after latency: Int64, _ now: Int64) { seconds[second(now)].latencies.append(latency) }
    mutating func turnedAway(_ now: Int64) { seconds[second(now)].turnedAway += 1 }
    mutating func queued(_ length: Int) { longestQueue = max(longestQueue, length) }

    // MARK: - Reading, by whole seconds

    /// Requests per second that were answered within patience.
    public func goodput(_ range: Range<Int>) -> Double { mean(range) { Double($0.answers) } }

    /// Requests per second.
    public func offered(_ range: Range<Int>) -> Double { mean(range) { Double($0.requests) } }

    /// Calls per second, first tries and later ones.
    public func calls(_ range: Range<Int>) -> Double { mean(range) { Double($0.calls) } }

    /// Tries after the first, per second.
    public func retries(_ range: Range<Int>) -> Double { mean(range) { Double($0.retries) } }

    /// Calls per second that the gatekeeper turned away.
    public func turnedAway(_ range: Range<Int>) -> Double { mean(range) { Double($0.turnedAway) } }

    /// How many of the critical requests were answered; 1 if there were none.
    public func criticalSuccess(_ range: Range<Int>) -> Double {
        let asked = seconds[range].reduce(0) { $0 + $1.criticalRequests }
        return asked == 0 ? 1 : Double(seconds[range].reduce(0) { $0 + $1.criticalAnswers }) / Double(asked)
    }

    /// What this part of the admitted calls that ended in these seconds did not take longer than, in nanoseconds.
    ///
    /// It counts from the sending of the call, so the wait at the gate is in it.
    public func latency(_ quantile: Double, _ range: Range<Int>) -> Int64 {
        let sorted = seconds[range].flatMap(\.latencies).sorted()
        guard !sorted.isEmpty else { return 0 }
        return sorted[min(Int(Double(sorted.count) * quantile), sorted.count - 1)]
    }

    /// How long the admitted calls that ended in these seconds took on average, in nanoseconds.
    public func meanLatency(_ range: Range<Int>) -> Double {
        let latencies = seconds[range].flatMap(\.latencies)
        return latencies.isEmpty ? 0 : latencies.reduce(0) { $0 + Double($1) } / Double(latencies.count)
    }

    /// How many seconds after `end` the goodput first stays at `part` of the offered load for three seconds on end; nil
    /// for never.
    public func recovery(after end: Int, part: Double) -> Int? {
        guard end + 3 < seconds.count - 1 else { return nil }
        return (end...(seconds.count - 4)).first { start in
            goodput(start..<(start + 3)) >= part * offered(start..<(start + 3))
        }.map { $0 - end }
    }

    private func mean(_ range: Range<Int>, _ value: (Second) -> Double) -> Double {
        range.isEmpty ? 0 : seconds[range].reduce(0) { $0 + value($1) } / Double(range.count)
    }
}
