// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The scenario over HTTP: a server under half, once, twice and four times the load that its downstream can take, and under
// a spike of four times. It needs an HTTP server, so it is there with the trait HTTPScenario only.
//
// Each run is two fresh processes: a server, which starts the client that sends the load, and writes what became of it
// when the client has ended. Loopback only; the number of requests is planned, and every wait has a bound.

struct HTTPOverload: Sendable {
    static let name = "overload"

    /// Capacity 400 requests per second.
    static let settings = ServiceSettings(
        work: 20_000_000, objective: 200_000_000, patience: 500_000_000, persistence: 2_500_000_000,
        retryAfter: .seconds(1))
    static let factors: [Double?] = [0.5, 1, 2, 4, nil]
    static let binLength = 100_000_000
    private static let quickFlag = "quick"
    private static let spikeFlag = "spike"

    let isQuick: Bool
    let variants: [ServiceVariant]

    init(options: Options) {
        isQuick = options.isQuick
        variants = ServiceVariant.allCases.filter { options.selects("\(Self.name).\($0.rawValue)") }
    }

    /// What arrives; nil stands for the spike.
    static func plan(_ factor: Double?, quick: Bool) -> LoadPlan {
        guard let factor else {
            return quick
                ? .spike(settings, warmUp: 0.6, seconds: 0.3, after: 0.8, seed: 21)
                : .spike(settings, warmUp: 1.2, seconds: 0.8, after: 2.2, seed: 21)
        }
        return quick
            ? .steady(settings, factor: factor, warmUp: 0.5, seconds: 0.5, seed: 22)
            : .steady(settings, factor: factor, warmUp: 1.6, seconds: 1.8, seed: 22)
    }

    func run(progress: Progress) throws -> [ServiceOutcome] {
        var outcomes: [ServiceOutcome] = []
        var repetitions = isQuick ? 0 : 6
        for variant in variants {
            for factor in isQuick ? [1, 4, nil] : Self.factors {
                let load = factor.map { "\($0)" } ?? Self.spikeFlag
                progress.step("overload  \(variant.title), \(load)")
                var arguments = [Platform.executablePath, Children.flag, Self.name, "server", variant.rawValue, load]
                if isQuick { arguments.append(Self.quickFlag) }
                outcomes.append(try ServiceOutcome.valid(arguments, repetitions: &repetitions))
            }
        }
        progress.clear()
        return outcomes
    }

    // MARK: In the children

    /// What the arguments of a child say.
    struct Role: Sendable {
        let variant: ServiceVariant
        let factor: Double?
        let plan: LoadPlan
        /// What follows; a port, for the client.
        let rest: [String]
        /// The arguments from the variant on.
        let words: [String]

        init?(_ arguments: [String]) {
            guard arguments.count >= 2, let variant = ServiceVariant(rawValue: arguments[0]) else { return nil }
            self.variant = variant
            factor = Double(arguments[1])
            guard factor.map({ $0 > 0 && $0 <= 100 }) ?? (arguments[1] == spikeFlag) else { return nil }
            let isQuick = arguments.contains(quickFlag)
            plan = HTTPOverload.plan(factor, quick: isQuick)
            rest = arguments.dropFirst(2).filter { $0 != quickFlag }
            words = [arguments[0], arguments[1]] + (isQuick ? [quickFlag] : [])
        }
    }

    static func runChild(_ arguments: [String]) async throws -> CInt {
        #if HTTPScenario
            guard let kind = arguments.first, let role = Role(Array(arguments.dropFirst())) else { return 64 }
            Platform.raiseFileLimit()
            switch kind {
            case "server": return try await HTTPService.run(role)
            case "client": return try await HTTPLoad.run(role)
            default: return 64
            }
        #else
            return 64
        #endif
    }

    /// Whether this build has an HTTP server.
    static var isAvailable: Bool {
        #if HTTPScenario
            true
        #else
            false
        #endif
    }
}
