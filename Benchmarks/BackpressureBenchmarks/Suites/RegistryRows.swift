// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What being observed costs an operation: the same compiled loop over a primitive that no registry knows, over another
// such one, and over one that a registry has.
//
// The registry collects once before the loop and once after it, and what it then says must be what the loop did: so it is
// attached. The two contenders without one differ by chance alone; how far they and their rounds lie apart is what the
// third one's difference is held against. Instructions are not subject to chance: see `Instructions`.

import Backpressure
import BackpressureMetrics

enum RegistryRows {
    static let name = "metrics.registry"
    static let without = "without a registry"
    static let again = "without a registry, again"
    static let attached = "with a registry"

    /// What is observed.
    enum Subject: String, CaseIterable, Sendable {
        case channel, semaphore, bucket
    }

    static var rows: [Row] {
        Subject.allCases.map { subject in
            Row(
                name: rowName(subject), unit: .nanosecondsPerOperation, isFine: true,
                contenders: [
                    contender(without, subject, isAttached: false), contender(again, subject, isAttached: false),
                    contender(attached, subject, isAttached: true),
                ])
        }
    }

    static func rowName(_ subject: Subject) -> String { "\(name).\(subject.rawValue)" }

    // MARK: Contenders

    static func contender(_ title: String, _ subject: Subject, isAttached: Bool) -> Contender {
        Contender(title, ours: true) { operations in
            let registry = isAttached ? MetricsRegistry() : nil
            switch subject {
            case .channel:
                let channel = BoundedChannel<Int, Never>(capacity: 1024)
                try attach(channel, to: registry)
                let sample = try await pairs(channel, operations)
                try verify(registry, .received, operations)
                return sample
            case .semaphore:
                let semaphore = AsyncSemaphore(permits: 1)
                try attach(semaphore, to: registry)
                let sample = try pairs(semaphore, operations)
                try verify(registry, .admitted, operations)
                return sample
            case .bucket:
                let bucket = OurBucket.plentiful()
                try attach(bucket, to: registry)
                let sample = try OurBucket.run(bucket, operations, expected: true)
                try verify(registry, .waits, 0)
                return sample
            }
        }
    }

    private static func attach(_ source: some MetricSource, to registry: MetricsRegistry?) throws {
        try registry?.add(source, named: "observed", labels: ["by": "benchmark"])
        try verify(registry, .waits, 0)
    }

    /// The registry says of its one primitive that it did so much.
    private static func verify(_ registry: MetricsRegistry?, _ metric: Metric, _ expected: Int) throws(HardFailure) {
        guard let registry else { return }
        let samples = registry.collect()
        guard samples.count == 1, let value = samples[0].value(metric), value == Double(expected) else {
            throw HardFailure(text: "the registry does not see \(expected) of \(metric.name): \(samples)")
        }
    }

    // MARK: The loops

    @inline(never)
    private static func pairs(_ channel: BoundedChannel<Int, Never>, _ operations: Int) async throws -> Sample {
        var checksum = Checksum()
        let meter = Meter.begin()
        for element in 0..<operations {
            guard case .sent = await channel.send(element) else { break }
            guard let received = try await channel.receive() else { break }
            checksum.add(received)
        }
        let sample = meter.end(operations: operations)
        try checksum.verify(elements: operations, in: "metrics.registry.channel")
        return sample
    }

    @inline(never)
    private static func pairs(_ semaphore: AsyncSemaphore, _ operations: Int) throws -> Sample {
        var done = 0
        let meter = Meter.begin()
        for _ in 0..<operations {
            guard let permit = semaphore.tryAcquire() else { break }
            done &+= 1
            permit.release()
        }
        let sample = meter.end(operations: operations)
        try SemaphorePairs.verify(done, of: operations, free: semaphore.available, in: "metrics.registry.semaphore")
        return sample
    }

    // MARK: Gates

    /// By how much, in percent, the pair with a registry differs from that without; the bound is what two without differ
    /// by, or the noise of their rounds if that is greater.
    static func gates(_ results: [RowResult]) -> [Gate] {
        Subject.allCases.compactMap { subject in
            func answer(_ contender: String) -> Statistics? {
                results.first { $0.name == rowName(subject) && $0.contender == contender }?.statistics
            }
            guard let first = answer(without), let second = answer(again), let third = answer(attached) else {
                return nil
            }
            func noise(_ answer: Statistics) -> Double { (answer.median - answer.min) / answer.median }
            let base = (first.median + second.median) / 2
            let spread = max(abs(second.median - first.median) / base, noise(first), noise(second))
            return Gate(
                "\(rowName(subject)): with and without, against two without",
                abs(third.median - base) / base * 100, atMost: spread * 100, suffix: " %")
        }
    }
}
