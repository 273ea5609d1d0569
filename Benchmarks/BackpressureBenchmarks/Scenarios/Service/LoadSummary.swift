// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What the records come to. Pure arithmetic over the requests that were due in the measured part of the run.
//
// Latency is that of a try, and counts from the moment at which it was *due*: a generator or a service that falls behind
// cannot hide it (G. Tene, "coordinated omission"). A try that got no answer counts with the time after which its caller
// gave up; one that was turned away does not count. Goodput is that of requests: answered, by whichever try, within the
// objective after the request was due.

struct LoadSummary: Sendable, Equatable {
    /// A part of the run, for the pictures.
    struct Bin: Sendable, Equatable {
        /// Seconds after the begin of the measured part.
        var start = 0.0
        /// Requests per second that were due.
        var offered = 0.0
        /// Requests per second that were answered, by the time of the answer.
        var answered = 0.0
        /// Requests that callers waited for at its end.
        var depth = 0.0
        /// Seconds; the 99th percentile of those that were due in it; nil for none.
        var latency: Double?
    }

    /// Requests per second that were due.
    var offered = 0.0
    /// Requests per second that were answered within the objective.
    var goodput = 0.0
    /// Parts of the requests.
    var answeredPart = 0.0
    var rejectedPart = 0.0
    var lostPart = 0.0
    /// Seconds, of the tries that were not turned away.
    var p50 = 0.0
    var p99 = 0.0
    var p999 = 0.0
    /// Seconds by which the generator was late.
    var lateness = 0.0
    /// Tries for each request.
    var tries = 0.0
    /// The part of the critical requests that were answered within the objective.
    var criticalSuccess = 1.0
    /// The greatest number of requests that callers waited for.
    var peakDepth = 0.0
    /// Seconds after the end of the spike until requests were answered in time again; nil for not within the run, or
    /// without a spike.
    var recovery: Double?
    var bins: [Bin] = []

    init() {}

    init(_ records: LoadRecords, plan: LoadPlan, settings: ServiceSettings, binLength: Int) {
        let measured = plan.measured
        let due = records.calls.filter { measured.contains($0.due) }
        guard !due.isEmpty, binLength > 0 else { return }
        let seconds = Double(measured.count) / 1e9
        let count = Double(due.count)
        let good = due.filter { Self.isGood($0, settings) }
        offered = count / seconds
        goodput = Double(good.count) / seconds
        answeredPart = Double(due.filter { $0.outcome == .answered }.count) / count
        rejectedPart = Double(due.filter { $0.outcome == .rejected }.count) / count
        lostPart = 1 - answeredPart - rejectedPart
        tries = Double(due.reduce(0) { $0 + $1.tries }) / count
        let tried = Self.tries(records, plan)
        let latencies = tried.filter { measured.contains($0.due) }.map(\.latency).sorted()
        p50 = Self.quantile(latencies, 0.5)
        p99 = Self.quantile(latencies, 0.99)
        p999 = Self.quantile(latencies, 0.999)
        lateness = Self.quantile(due.map { $0.lateness ?? plan.length }.sorted(), 0.99)
        let critical = due.filter(\.isCritical)
        if !critical.isEmpty {
            criticalSuccess = Double(critical.filter { Self.isGood($0, settings) }.count) / Double(critical.count)
        }
        bins = Self.bins(records.calls, tried, plan, binLength)
        peakDepth = Self.peakDepth(records.calls, plan)
        recovery = plan.spikeEnd.flatMap { Self.recovery(records.calls, plan, settings, from: $0, step: binLength) }
    }

    static func isGood(_ record: CallRecord, _ settings: ServiceSettings) -> Bool {
        record.outcome == .answered && record.latency <= settings.objective
    }

    /// With those that were still open when the run ended: they had taken until then.
    private static func tries(_ records: LoadRecords, _ plan: LoadPlan) -> [TryRecord] {
        records.tries
            + records.calls.compactMap { call in
                guard call.outcome == .open, let due = call.tryDue, due < plan.length else { return nil }
                return TryRecord(due: due, latency: plan.length - due)
            }
    }

    /// Seconds; of sorted nanoseconds.
    static func quantile(_ sorted: [Int], _ part: Double) -> Double {
        guard !sorted.isEmpty else { return 0 }
        return Double(sorted[min(Int(Double(sorted.count) * part), sorted.count - 1)]) / 1e9
    }

    // MARK: Over time

    private static func bins(_ records: [CallRecord], _ tries: [TryRecord], _ plan: LoadPlan, _ length: Int) -> [Bin] {
        let count = (plan.measured.count + length - 1) / length
        func place(_ time: Int) -> Int { (time - plan.measured.lowerBound) / length }
        var bins = (0..<count).map { Bin(start: Double($0 * length) / 1e9) }
        var latencies = [[Int]](repeating: [], count: count)
        let perSecond = 1e9 / Double(length)
        for record in records {
            let end = record.outcome == .open ? Int.max : record.due + record.latency
            if plan.measured.contains(record.due) { bins[place(record.due)].offered += perSecond }
            if record.outcome == .answered, plan.measured.contains(end) { bins[place(end)].answered += perSecond }
            // In the depth of every bin at whose end it is still waited for.
            let first = max(0, record.due < plan.measured.lowerBound ? 0 : place(record.due))
            let last = end == .max ? count : max(0, end < plan.measured.lowerBound ? 0 : place(end))
            for index in first..<max(first, min(last, count)) { bins[index].depth += 1 }
        }
        for record in tries where plan.measured.contains(record.due) {
            latencies[place(record.due)].append(record.latency)
        }
        for index in bins.indices where !latencies[index].isEmpty {
            bins[index].latency = quantile(latencies[index].sorted(), 0.99)
        }
        return bins
    }

    private static func peakDepth(_ records: [CallRecord], _ plan: LoadPlan) -> Double {
        // +1 when a request is due, -1 when its fate is known; ends before begins of the same instant.
        var events = records.map { ($0.due, 1) }
        events += records.filter { $0.outcome != .open }.map { ($0.due + $0.latency, -1) }
        events.sort { $0 < $1 }
        var (depth, peak) = (0, 0)
        for (time, step) in events {
            depth += step
            if plan.measured.contains(time) { peak = max(peak, depth) }
        }
        return Double(peak)
    }

    /// The first moment after the spike from which, for four steps on end, 95 of 100 requests are good.
    private static func recovery(
        _ records: [CallRecord], _ plan: LoadPlan, _ settings: ServiceSettings, from end: Int, step: Int
    ) -> Double? {
        let count = (plan.length - end) / step
        var due = [Int](repeating: 0, count: max(count, 0))
        var good = due
        for record in records where record.due >= end && (record.due - end) / step < count {
            due[(record.due - end) / step] += 1
            if isGood(record, settings) { good[(record.due - end) / step] += 1 }
        }
        let isWell = zip(due, good).map { Double($1) >= 0.95 * Double($0) }
        guard count >= 4 else { return nil }
        return (0...(count - 4)).first { isWell[$0..<($0 + 4)].allSatisfy { $0 } }.map { Double($0 * step) / 1e9 }
    }
}
