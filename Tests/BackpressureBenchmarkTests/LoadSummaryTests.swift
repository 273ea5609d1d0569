// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The arithmetic of the service scenarios: arrivals, records, and what they come to.

import Backpressure
import Testing

@testable import BackpressureBenchmarks

@Suite struct LoadSummaryTests {
    private static let settings = ServiceSettings(
        work: 10_000_000, objective: 100_000_000, patience: nil, persistence: 400_000_000, retryAfter: .seconds(1))
    private static let millisecond = 1_000_000

    @Test func arrivalsAreThoseOfAPoissonProcess() {
        let plan = LoadPlan.steady(Self.settings, factor: 2, warmUp: 10, seconds: 40, seed: 5)
        // Capacity 800: 1600 per second for 50 seconds, give or take five standard deviations.
        #expect(abs(plan.arrivals.count - 80_000) < 1_500)
        #expect(zip(plan.arrivals, plan.arrivals.dropFirst()).allSatisfy { $0.at <= $1.at })
        let gaps = zip(plan.arrivals, plan.arrivals.dropFirst()).map { Double($1.at - $0.at) }
        let mean = gaps.reduce(0, +) / Double(gaps.count)
        let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
        #expect(abs(variance / (mean * mean) - 1) < 0.05)
        let critical = plan.arrivals.filter(\.request.isCritical).count
        #expect(abs(Double(critical) / Double(plan.arrivals.count) - 0.1) < 0.01)
        #expect(plan.measured == 10_000 * Self.millisecond..<50_000 * Self.millisecond)
        #expect(plan.arrivals == LoadPlan.steady(Self.settings, factor: 2, warmUp: 10, seconds: 40, seed: 5).arrivals)
    }

    @Test func aSpikeIsFourTimesTheCapacity() {
        let plan = LoadPlan.spike(Self.settings, warmUp: 10, seconds: 10, after: 10, seed: 5)
        func count(_ seconds: Range<Int>) -> Int {
            plan.arrivals.filter {
                (seconds.lowerBound * 1_000_000_000..<seconds.upperBound * 1_000_000_000).contains($0.at)
            }
            .count
        }
        #expect(abs(count(0..<10) - 4_000) < 320)
        #expect(abs(count(10..<20) - 32_000) < 900)
        #expect(abs(count(20..<30) - 4_000) < 320)
        #expect(plan.spikeEnd == 20_000 * Self.millisecond)
    }

    /// Ten requests a millisecond apart, from 1 s on, after a spike that ended at 1 s.
    private func records(_ change: (Int, inout CallRecord) -> Void) -> (LoadRecords, LoadPlan) {
        let plan = LoadPlan.spike(Self.settings, warmUp: 0.5, seconds: 0.5, after: 1, seed: 1)
        var records = LoadRecords(calls: [])
        for number in 0..<1_000 {
            var call = CallRecord(due: (1_000 + number) * Self.millisecond, isCritical: number % 10 == 0)
            call.lateness = number * 1_000
            call.tries = 1
            call.outcome = .answered
            call.latency = 20 * Self.millisecond
            change(number, &call)
            if call.outcome == .answered || call.outcome == .lost {
                let due = call.tryDue ?? call.due
                records.tries.append(TryRecord(due: due, latency: call.latency - (due - call.due)))
                call.tryDue = nil
            }
            records.calls.append(call)
        }
        return (records, plan)
    }

    private func summary(_ change: (Int, inout CallRecord) -> Void) -> LoadSummary {
        let (records, plan) = records(change)
        return LoadSummary(records, plan: plan, settings: Self.settings, binLength: 50 * Self.millisecond)
    }

    @Test func allAnswered() {
        let summary = summary { _, _ in }
        #expect(summary.answeredPart == 1 && summary.rejectedPart == 0 && abs(summary.lostPart) < 1e-12)
        #expect(summary.p50 == 0.02 && summary.p99 == 0.02)
        #expect(abs(summary.lateness - 0.000_99) < 1e-9)
        #expect(summary.criticalSuccess == 1)
        #expect(summary.recovery == 0)
        #expect(summary.peakDepth == 20)
        // The measured part begins with half of the warm-up or of the spike, whichever is shorter, before the spike.
        #expect(summary.bins.count == 35)
        #expect(summary.bins[20].offered == 1_000 && summary.bins[20].answered == 1_000)
        #expect(summary.bins[20].latency == 0.02)
        #expect((18...21).contains(summary.bins[20].depth))
    }

    @Test func lateAnswersAreNotGood() {
        let summary = summary { number, call in
            if number < 500 { call.latency = 150 * Self.millisecond }
            if number < 500, number % 10 == 0 { call.latency = 20 * Self.millisecond }
        }
        #expect(summary.criticalSuccess == 1)
        #expect(summary.answeredPart == 1)
        #expect(abs(summary.goodput * 1.75 - 550) < 1e-6)
        #expect(summary.p99 == 0.15)
        #expect(summary.recovery == 0.5)
    }

    @Test func rejectionsAreNoLatencies() {
        let summary = summary { number, call in
            if number % 2 == 0 { (call.outcome, call.latency) = (.rejected, Self.millisecond) }
        }
        #expect(summary.rejectedPart == 0.5)
        #expect(summary.p50 == 0.02)
        #expect(summary.criticalSuccess == 0)
        #expect(summary.recovery == nil)
    }

    @Test func whatIsOpenAtTheEndTookUntilThen() {
        let summary = summary { number, call in
            if number == 0 { call.outcome = .open }
            // Between two tries there is none whose latency counts.
            if number == 1 { (call.outcome, call.tryDue) = (.open, nil) }
        }
        #expect(abs(summary.p999 - 1) < 1e-9)
        #expect(abs(summary.lostPart - 0.002) < 1e-9)
    }

    @Test func latencyIsThatOfATryAndGoodputThatOfTheRequest() {
        let summary = summary { number, call in
            (call.tries, call.tryDue, call.latency) = (2, call.due + 200 * Self.millisecond, 230 * Self.millisecond)
            _ = number
        }
        #expect(summary.tries == 2)
        #expect(abs(summary.p50 - 0.03) < 1e-9)
        #expect(summary.goodput == 0)
    }

    @Test func anOutcomeSurvivesTheWayFromTheChild() throws {
        let (records, plan) = records { number, call in if number % 3 == 0 { call.outcome = .lost } }
        var outcome = ServiceOutcome(
            variant: .codel, factor: 2, records: records, plan: plan, settings: Self.settings,
            binLength: 50 * Self.millisecond)
        outcome.peakBytes = 12_345
        (outcome.peakInside, outcome.processorPart, outcome.malformed, outcome.unavailable) = (7, 0.25, 1, 9)
        let read = try #require(ServiceOutcome(try JSON(reading: outcome.json.text())))
        #expect(read.summary == outcome.summary)
        #expect(read.variant == .codel && read.factor == 2 && read.peakBytes == 12_345 && read.peakInside == 7)
        #expect(
            read.processorPart == 0.25 && read.malformed == 1 && read.unavailable == 9
                && read.isValid == outcome.isValid)
        #expect(ServiceOutcome(.object([("variant", .string("codel"))])) == nil)
        #expect(ServiceOutcome(try JSON(reading: SampleReport.outcome(.full, nil).json.text()))?.factor == nil)
    }

    @Test func aLateGeneratorMakesNoRows() {
        let report = ServiceReport(
            scenario: "overload", settings: Self.settings,
            outcomes: [SampleReport.outcome(.nothing, 4), SampleReport.outcome(.nothing, 1)])
        #expect(Set(report.results.map(\.parameters.load)) == ["1x"])
        #expect(report.text.contains("VOID: nothing at 4x"))
        #expect(report.gates.contains { $0.verdict == .missed && $0.name.contains("generator late") })
    }
}

@Suite struct RetryRuleTests {
    private let settings = HTTPOverload.settings

    @Test func usualCallersTryOnceMoreWhateverTheServerSays() {
        let rule = RetryRule(.reject, settings)
        rule.beginRequest()
        let delay = rule.delay(after: 1, rejection: .overLimit(retryAfter: .seconds(1)), left: 1_000_000_000)
        #expect(delay.map { $0 <= settings.work } == true)
        #expect(rule.delay(after: 2, rejection: nil, left: 1_000_000_000) == nil)
        #expect(rule.delay(after: 1, rejection: nil, left: 0) == nil)
    }

    @Test func budgetedCallersKeepToTheBudgetAndToWhatTheServerAskedFor() {
        let rule = RetryRule(.full, settings)
        var retries = 0
        for _ in 0..<1_000 {
            rule.beginRequest()
            if let delay = rule.delay(after: 1, rejection: .overLimit(retryAfter: .seconds(1)), left: 2_500_000_000) {
                #expect(delay >= 1_000_000_000)
                retries += 1
                rule.endRetry()
            }
            rule.endRequest()
        }
        #expect((40...60).contains(retries), "\(retries) retries of 1000 requests")
        #expect(rule.delay(after: 1, rejection: .overLimit(retryAfter: .seconds(3)), left: 2_500_000_000) == nil)
    }
}
