// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The hidden command line by which the executable starts itself: a fresh process whose memory, or whose instructions,
// are those of one contender only.

enum Children {
    static let flag = "--child"

    /// Runs what the arguments after the flag ask for, and returns the exit status.
    static func run(_ arguments: [String]) async throws -> CInt {
        switch arguments.first {
        case Instructions.name where arguments.count == 3:
            guard let found = Instructions.contenders.first(where: { $0.key == arguments[1] }),
                let operations = Int(arguments[2])
            else { return 64 }
            _ = try await found.contender.run(operations)
            return 0
        case HotPath.name where arguments.count == 5:
            // For a profiler: one contender of one row (its name and capacity) and nothing else.
            let row = HotPath.rows(quick: false).first {
                $0.name == arguments[1] && $0.parameters.capacity == Int(arguments[2])
            }
            guard let contender = row?.contenders.first(where: { $0.name == arguments[3] }),
                let operations = Int(arguments[4])
            else { return 64 }
            let sample = try await contender.run(operations)
            Platform.write("\(sample.operations) operations in \(sample.nanoseconds) ns\n", to: 1)
            return 0
        case Pipeline.name where arguments.count == 3:
            guard let variant = Pipeline.Variant(rawValue: arguments[1]) else { return 64 }
            let outcome = try await Pipeline.runVariant(variant, path: arguments[2])
            Platform.write(outcome.text, to: 1)
            return 0
        case TurnTaker.flag where arguments.count == 1:
            await TurnTaker.run()
            return 0
        case Spike.name: return await Spike.runChild(Array(arguments.dropFirst()))
        case HTTPOverload.name: return try await HTTPOverload.runChild(Array(arguments.dropFirst()))
        default: return 64
        }
    }
}
