// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// One run of one variant under one load: what the child that ran it writes, and what its parent reads and reports.

/// What a run came to.
struct ServiceOutcome: Sendable {
    var variant: ServiceVariant
    /// The load as a multiple of the capacity; nil for a spike.
    var factor: Double?
    var summary: LoadSummary
    /// Tries turned away with 429 and with 503, and those among them without a correct status or Retry-After.
    var tooManyRequests = 0
    var unavailable = 0
    var malformed = 0
    /// The greatest resident size of the process that serves; nil where the system does not tell.
    var peakBytes: Int?
    /// The most requests that were in the service at once.
    var peakInside = 0
    /// Processor time of all processes of the run, as a part of what the machine has.
    var processorPart = 0.0

    var loadTitle: String { factor.map { Text.number($0, digits: $0 < 1 ? 1 : 0) + "x" } ?? "spike" }

    /// The most by which the generator may be late, or the run says nothing.
    static let latenessBound = 0.001

    init(variant: ServiceVariant, factor: Double?, summary: LoadSummary) {
        self.variant = variant
        self.factor = factor
        self.summary = summary
    }

    init(
        variant: ServiceVariant, factor: Double?, records: LoadRecords, plan: LoadPlan, settings: ServiceSettings,
        binLength: Int
    ) {
        self.variant = variant
        self.factor = factor
        summary = LoadSummary(records, plan: plan, settings: settings, binLength: binLength)
        tooManyRequests = records.tooManyRequests
        unavailable = records.unavailable
        malformed = records.malformed
    }

    /// Whether the generator kept its times.
    var isValid: Bool { summary.lateness <= Self.latenessBound }
}

extension ServiceOutcome {
    /// Runs a child, and runs it again while its generator was late and there are repetitions left; the one that was the
    /// least late counts.
    static func valid(_ arguments: [String], repetitions: inout Int) throws -> ServiceOutcome {
        var outcome = try ServiceOutcome(child: arguments)
        while !outcome.isValid, repetitions > 0 {
            repetitions -= 1
            let again = try ServiceOutcome(child: arguments)
            if again.summary.lateness < outcome.summary.lateness { outcome = again }
        }
        return outcome
    }

    var json: JSON {
        .object([
            ("variant", .string(variant.rawValue)), ("factor", .double(factor)),
            ("peakBytes", .int(peakBytes)), ("peakInside", .int(peakInside)), ("processorPart", .double(processorPart)),
            ("tooManyRequests", .int(tooManyRequests)), ("unavailable", .int(unavailable)),
            ("malformed", .int(malformed)), ("isValid", .bool(isValid)), ("summary", summary.json),
        ])
    }

    /// Nil when something is missing.
    init?(_ json: JSON) {
        guard let variant = json["variant"]?.string.flatMap(ServiceVariant.init), let member = json["summary"],
            let summary = LoadSummary(member), let inside = json["peakInside"]?.number,
            let processor = json["processorPart"]?.number
        else { return nil }
        self.init(variant: variant, factor: json["factor"]?.number, summary: summary)
        peakBytes = json["peakBytes"]?.number.map { Int($0) }
        peakInside = Int(inside)
        processorPart = processor
        tooManyRequests = Int(json["tooManyRequests"]?.number ?? 0)
        unavailable = Int(json["unavailable"]?.number ?? 0)
        malformed = Int(json["malformed"]?.number ?? 0)
    }
}

extension LoadSummary {
    private static var fields: [(String, WritableKeyPath<LoadSummary, Double>)] {
        [
            ("offered", \.offered), ("goodput", \.goodput), ("answeredPart", \.answeredPart),
            ("rejectedPart", \.rejectedPart), ("lostPart", \.lostPart), ("p50", \.p50), ("p99", \.p99),
            ("p999", \.p999), ("lateness", \.lateness), ("tries", \.tries), ("criticalSuccess", \.criticalSuccess),
            ("peakDepth", \.peakDepth),
        ]
    }

    var json: JSON {
        .object(
            Self.fields.map { ($0.0, .double(self[keyPath: $0.1])) } + [
                ("recovery", .double(recovery)),
                (
                    "bins",
                    .array(
                        bins.map { bin in
                            .array([
                                .double(bin.start), .double(bin.offered), .double(bin.answered), .double(bin.depth),
                                .double(bin.latency),
                            ])
                        })
                ),
            ])
    }

    /// Nil when something is missing.
    init?(_ json: JSON) {
        self.init()
        for (name, path) in Self.fields {
            guard let value = json[name]?.number else { return nil }
            self[keyPath: path] = value
        }
        recovery = json["recovery"]?.number
        for bin in json["bins"]?.elements ?? [] {
            guard let values = bin.elements, values.count == 5, let start = values[0].number,
                let offered = values[1].number, let answered = values[2].number, let depth = values[3].number
            else { return nil }
            bins.append(
                Bin(start: start, offered: offered, answered: answered, depth: depth, latency: values[4].number))
        }
    }
}
