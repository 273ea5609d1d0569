// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What an exploration is told, and what it tells.

/// How schedules are chosen.
public enum Strategy: Sendable, Hashable {
    /// Every schedule up to the order of independent steps, no bound on preemptions: depth-first, trying only those
    /// other orders that a race of the schedules seen so far calls for (source sets, with sleep sets).
    case exhaustive
    /// The same set of schedules by sleep sets alone, which run into many repetitions: to check the reversal of races.
    case sleepSets
    /// Every schedule, one by one: for tiny models, to check the reduction itself.
    case everyInterleaving
    /// Every schedule with at most this many preemptions. No reduction: together the two would be unsound.
    case preemptionBounded(Int)
    /// A number of seeded random schedules, with threads of equal speed or of different speeds.
    case random(seed: UInt64, executions: Int, unevenly: Bool = false)
    /// A number of seeded schedules with random thread priorities and `depth - 1` random changes of them (PCT).
    case priorities(seed: UInt64, depth: Int, executions: Int)
}

/// The settings of one exploration.
public struct Options: Sendable {
    /// How schedules are chosen.
    public var strategy: Strategy
    /// More steps than this in one execution are a violation: a model must end.
    public var maxSteps: Int
    /// The exploration stops, not exhausted, after this many executions.
    public var maxExecutions: Int
    /// How often each thread may load an older value than the newest one; 0 is sequential consistency.
    public var staleLoads: Int
    /// How often a weak compare-exchange of each thread may fail for no reason.
    public var spuriousFailures: Int
    /// A planted bug.
    public var mutation: Mutation?
    /// Whether the threads of the model are threads of the system, one of which runs at a time.
    ///
    /// For code that Swift's runtime suspends and resumes. Ten times slower, and never with a reduction: the runtime's
    /// own steps are not seen.
    public var usesThreads: Bool

    /// The settings of one exploration; the defaults explore everything, sequentially consistent.
    public init(
        strategy: Strategy = .exhaustive, maxSteps: Int = 2_000, maxExecutions: Int = .max, staleLoads: Int = 0,
        spuriousFailures: Int = 0, mutation: Mutation? = nil, usesThreads: Bool = false
    ) {
        self.strategy = strategy
        self.maxSteps = maxSteps
        self.maxExecutions = maxExecutions
        self.staleLoads = staleLoads
        self.spuriousFailures = spuriousFailures
        self.mutation = mutation
        self.usesThreads = usesThreads
    }
}

/// Something that must not happen, and how it came about.
public struct Violation: Sendable, CustomStringConvertible {
    /// What kind of thing went wrong.
    public enum Kind: String, Sendable {
        /// Two plain accesses, one of them a write, that nothing orders.
        case dataRace
        /// An access to memory that was given back, or a second giving back.
        case useAfterFree
        /// Somebody waits and nobody can move.
        case deadlock
        /// An execution did not end within `Options.maxSteps`.
        case stepLimit
        /// `ModelRuntime.fail(_:)`.
        case failure
        /// The same choices did not lead to the same steps: the model is not deterministic.
        case nondeterminism
    }

    /// What kind of thing went wrong.
    public let kind: Kind
    /// Who, what and where.
    public let message: String
    /// The steps that lead here, one a line.
    public internal(set) var steps: [String]
    /// The choices that lead here, for `Explorer.replay(_:_:options:)`.
    public let replay: String

    /// The message, the steps and the replay string.
    public var description: String {
        "\(kind.rawValue): \(message)\n" + steps.map { "    \($0)\n" }.joined() + "    replay: \"\(replay)\""
    }
}

/// What an exploration found.
public struct Exploration: Sendable, CustomStringConvertible {
    /// The model's name.
    public internal(set) var model = ""
    /// Whether every schedule of the strategy has been covered, without a violation.
    public internal(set) var exhausted = false
    /// Executions that differ in the order of dependent steps.
    public internal(set) var executions = 0
    /// Executions that were found, underway, to repeat an earlier one up to independent steps.
    public internal(set) var redundant = 0
    /// Steps of all executions.
    public internal(set) var steps = 0
    /// The longest execution, in steps.
    public internal(set) var maxDepth = 0
    /// The first violation; the exploration stops there.
    public internal(set) var violation: Violation?
    /// How often the mutated place was executed; a mutant with 0 was not tested at all.
    public internal(set) var mutationHits = 0
    /// The places of the source that were executed, setup and check included.
    public internal(set) var sites: [Site] = []
    /// Seconds on the clock.
    public internal(set) var seconds = 0.0

    /// The figures on one line, and the violation.
    public var description: String {
        let rate = seconds > 0 ? Int(Double(executions + redundant) / seconds) : 0
        let head =
            "\(model): \(executions) executions (+ \(redundant) redundant), \(steps) steps, depth \(maxDepth), "
            + "\(exhausted ? "exhausted" : "not exhausted"), \(rate)/s"
        guard let violation else { return head }
        return head + "\n" + violation.description
    }
}
