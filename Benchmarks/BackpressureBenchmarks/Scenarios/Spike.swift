// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The scenario without a network: four times the capacity for a moment, in front of a service that is guarded in five
// ways. Each variant runs in a fresh process, so that its peak memory is its own.
//
// A thread of its own sends: it sleeps until a request is due, starts a task for it, and does not look back. So arrivals
// wait neither for answers nor for a task that runs late.

import Backpressure

struct Spike: Sendable {
    static let name = "spike"

    /// Capacity 1000 requests per second.
    static let settings = ServiceSettings(
        work: 8_000_000, objective: 80_000_000, patience: nil, persistence: 400_000_000,
        retryAfter: .milliseconds(160))
    static let variants: [ServiceVariant] = [.unbounded, .reject, .codel, .adaptive, .full]
    private static let binLength = 50_000_000
    private static let quickFlag = "quick"

    let isQuick: Bool

    static func plan(quick: Bool) -> LoadPlan {
        quick
            ? .spike(settings, warmUp: 0.4, seconds: 0.2, after: 0.5, seed: 11)
            : .spike(settings, warmUp: 0.7, seconds: 0.5, after: 1.6, seed: 11)
    }

    func run(progress: Progress) throws -> [ServiceOutcome] {
        var outcomes: [ServiceOutcome] = []
        var repetitions = isQuick ? 0 : 2
        for variant in Self.variants {
            progress.step("spike  \(variant.title)")
            var arguments = [Platform.executablePath, Children.flag, Self.name, variant.rawValue]
            if isQuick { arguments.append(Self.quickFlag) }
            outcomes.append(try ServiceOutcome.valid(arguments, repetitions: &repetitions))
        }
        progress.clear()
        return outcomes
    }

    // MARK: In the child

    static func runChild(_ arguments: [String]) async -> CInt {
        guard let variant = arguments.first.flatMap(ServiceVariant.init) else { return 64 }
        let plan = plan(quick: arguments.dropFirst().first == quickFlag)
        let outcome = await run(variant, plan)
        Platform.write(outcome.json.text() + "\n", to: 1)
        return 0
    }

    static func run(_ variant: ServiceVariant, _ plan: LoadPlan) async -> ServiceOutcome {
        let service = GuardedService(variant, settings)
        let recorder = LoadRecorder(plan)
        let rule = RetryRule(variant, settings)
        let start = Platform.nanoseconds() + 20_000_000
        let processor = Platform.processorNanoseconds
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                var next = start
                while next < start + plan.length {
                    try? await Task.sleep(for: .nanoseconds(max(next - Platform.nanoseconds(), 0)))
                    service.calibrate()
                    next += settings.calibrationPeriod
                }
            }
            group.addTask {
                await withUnsafeContinuation { continuation in
                    Platform.detachThread {
                        Platform.preferThisThread()
                        for (number, arrival) in plan.arrivals.enumerated() {
                            Platform.sleep(until: start + arrival.at)
                            recorder.sent(number, at: Platform.nanoseconds() - start)
                            Task { await call(number, arrival, service, recorder, rule, start) }
                        }
                        Platform.sleep(until: start + plan.length + settings.objective)
                        // Those that are due last have had their chance, too.
                        continuation.resume()
                    }
                }
            }
            await group.waitForAll()
        }
        // What is still open stays so: it has taken until the end at least.
        let used = Platform.processorNanoseconds - processor
        var outcome = ServiceOutcome(
            variant: variant, factor: nil, records: recorder.all, plan: plan, settings: settings, binLength: binLength)
        outcome.peakBytes = Platform.peakResidentBytes
        outcome.peakInside = service.peakInside
        outcome.processorPart = Double(used) / Double(plan.length) / Double(Platform.onlineCores)
        return outcome
    }

    /// One request with all of its tries.
    private static func call(
        _ number: Int, _ arrival: Arrival, _ service: GuardedService, _ recorder: LoadRecorder, _ rule: RetryRule,
        _ start: Int
    ) async {
        rule.beginRequest()
        defer { rule.endRequest() }
        var tries = 1
        while let rejection = await service.handle(arrival.request) {
            if tries > 1 { rule.endRetry() }
            let now = Platform.nanoseconds() - start
            let response = rejection.response()
            recorder.rejected(number, status: response.status, isCorrect: response.retryAfter != nil)
            let left = settings.persistence - (now - arrival.at)
            guard let delay = rule.delay(after: tries, rejection: rejection, left: left) else {
                return recorder.ended(number, .rejected, at: now)
            }
            tries += 1
            recorder.sentAgain(number, due: now + delay)
            try? await Task.sleep(for: .nanoseconds(delay))
        }
        if tries > 1 { rule.endRetry() }
        let now = Platform.nanoseconds() - start
        recorder.decided(number, at: now)
        recorder.ended(number, .answered, at: now)
    }
}

extension ServiceOutcome {
    /// What a child of this executable writes.
    init(child arguments: [String]) throws {
        switch Platform.run(arguments, capturing: 1) {
        case .failure(let error): throw HardFailure(text: "cannot start a child: \(error.text)")
        case .success((let status, let text)):
            let title = arguments.dropFirst(2).joined(separator: " ")
            guard status == 0 else { throw HardFailure(text: "the child \(title) ended with status \(status)") }
            guard let json = try? JSON(reading: text), let outcome = ServiceOutcome(json) else {
                throw HardFailure(text: "the child \(title) wrote no outcome")
            }
            self = outcome
        }
    }
}
