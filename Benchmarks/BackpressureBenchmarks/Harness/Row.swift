// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The vocabulary of the report: a row asks one question, its contenders answer it, one of them may be the floor.

/// What a row's figures mean.
enum Unit: String, Sendable {
    case nanosecondsPerOperation = "ns/op"
    case operationsPerSecond = "op/s"
    case bytes
    case percent = "%"

    func value(of sample: Sample) -> Double {
        switch self {
        case .nanosecondsPerOperation: Double(sample.nanoseconds) / Double(max(sample.operations, 1))
        case .operationsPerSecond: Double(sample.operations) * 1e9 / Double(max(sample.nanoseconds, 1))
        case .bytes, .percent: sample.bytes ?? 0
        }
    }

    /// How many times dearer `value` is than `floor`.
    func ratio(of value: Double, toFloor floor: Double) -> Double? {
        switch self {
        case .nanosecondsPerOperation, .bytes, .percent: floor > 0 ? value / floor : nil
        case .operationsPerSecond: value > 0 ? floor / value : nil
        }
    }
}

/// What distinguishes the rows of one name; only what is set is printed.
struct Parameters: Sendable, Equatable {
    var capacity: Int?
    var producers: Int?
    var consumers: Int?
    var placement: Placement?
    var fairness: String?
    var waiters: Int?
    var tasks: Int?
    var permits: Int?
    /// What arrives, as a multiple of the capacity; or "spike".
    var load: String?
}

/// Where the code that uses a channel finds it.
enum Placement: String, Sendable {
    /// A `let` of the function that runs the loop.
    case local
    /// A `let` of a final class, read on every operation.
    case property
    /// A parameter of a function that is generic over the element.
    case generic
    /// A `let` of an actor, used from the actor's own method.
    case actor
}

/// One way to do a row's work.
struct Contender: Sendable {
    let name: String
    var isOurs = false
    var isFloor = false
    var fairness: String?
    /// The operations of a round; nil for as many as fill the round's time.
    var fixedOperations: Int?
    /// Runs so many operations and verifies what came out.
    let run: @Sendable (_ operations: Int) async throws -> Sample

    init(
        _ name: String, ours: Bool = false, floor: Bool = false, fairness: String? = nil, fixed: Int? = nil,
        run: @escaping @Sendable (_ operations: Int) async throws -> Sample
    ) {
        self.name = name
        isOurs = ours
        isFloor = floor
        self.fairness = fairness
        fixedOperations = fixed
        self.run = run
    }
}

/// One question of a suite.
struct Row: Sendable {
    let name: String
    var parameters = Parameters()
    let unit: Unit
    /// Fewer rounds than the default, for rows whose single round is long.
    var maximumRounds = Int.max
    /// Many short rounds in place of few long ones: for work of one thread, which needs no time to get going, and whose
    /// figure a neighbour's slightest presence moves.
    var isFine = false
    /// Whether a thread of this process keeps one core busy meanwhile.
    var isBusy = false
    /// The figures are what a contender takes beyond the floor, not in all.
    var isBeyondFloor = false
    let contenders: [Contender]
}

/// A contender's answer.
struct RowResult: Sendable {
    let name: String
    let contender: String
    let isOurs: Bool
    let isFloor: Bool
    let parameters: Parameters
    let unit: Unit
    let statistics: Statistics
    /// Rounds run; `statistics.runs` of them made the figure.
    let rounds: Int
    var allocationsPerOperation: Double?
    var floor: Double?
    var ratioToFloor: Double?
}
