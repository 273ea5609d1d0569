// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The library's side of Benchmarks/Elsewhere: a child that runs one round whenever it is told to, so that it can take
// turns with programs in other languages that do the same.
//
// ## The conversation
// First, unasked, a line per pair of workload and contender: `WORKLOAD<tab>CONTENDER<tab>NOTE`; then an empty line. After
// that, for each line `WORKLOAD<tab>CONTENDER<tab>OPERATIONS`, one line: the nanoseconds that it took, or `!` and why not.
// The end of the input is the end of the program.

enum TurnTaker {
    static let flag = "turns"

    static func run() async {
        let turns = workloads
        for turn in turns { Platform.write("\(turn.workload)\t\(turn.contender.name)\t\(turn.note)\n", to: 1) }
        Platform.write("\n", to: 1)
        while let line = readLine() {
            let words = line.split(separator: "\t")
            guard words.count == 3, let operations = Int(words[2]), operations > 0,
                let turn = turns.first(where: { $0.workload == words[0] && $0.contender.name == words[1] })
            else {
                Platform.write("! no such turn\n", to: 1)
                continue
            }
            do {
                let sample = try await turn.contender.run(operations)
                Platform.write("\(sample.nanoseconds)\n", to: 1)
            } catch {
                Platform.write("! \((error as? HardFailure)?.text ?? "\(error)")\n", to: 1)
            }
        }
    }

    private struct Turn {
        let workload: String
        let contender: Contender
        var note = ""
    }

    private static var workloads: [Turn] {
        let modes = OurChannel.fairnessModes.sorted { one, _ in one.label == OurChannel.defaultFairness }
        var turns = [
            Turn(workload: "pair.try", contender: OurPairs.tryPairs(.local)),
            Turn(workload: "pair.await", contender: OurPairs.awaitPairs(.local)),
            Turn(workload: "semaphore.pair", contender: SemaphorePairs.ours(.permit, .local)),
            Turn(workload: "bucket.try", contender: OurBucket.allowed),
            Turn(workload: "bucket.denied", contender: OurBucket.denied),
            Turn(
                workload: "pingpong",
                contender: Contender(OurChannel.name) {
                    try await PingPong.roundTrips($0, there: OurChannel(capacity: 1), back: OurChannel(capacity: 1))
                }),
        ]
        turns += floors
        for capacity in [64, 256, 1024] {
            turns.append(
                Turn(
                    workload: "spsc.\(capacity)",
                    contender: Contender(OurChannel.name) {
                        try await Streams.stream(
                            through: OurChannel(capacity: capacity), elements: $0, producers: 1, consumers: 1)
                    }))
        }
        for (name, consumers) in [("mpsc", 1), ("mpmc", 4)] {
            for capacity in [64, 1024] {
                for (label, mode) in modes {
                    turns.append(
                        Turn(
                            workload: "\(name).\(capacity)",
                            contender: Contender("\(OurChannel.name), \(label)") {
                                try await Streams.stream(
                                    through: OurChannel(capacity: capacity, fairness: mode), elements: $0,
                                    producers: 4, consumers: consumers)
                            }, note: note(label)))
                }
            }
        }
        for (name, permits, yields) in [("semaphore.8on1", 1, false), ("semaphore.8on2.yield", 2, true)] {
            for (label, mode) in modes {
                turns.append(
                    Turn(
                        workload: name,
                        contender: Contender("\(OurSemaphore.name), \(label)") {
                            try await Semaphores.crowd(
                                OurSemaphore(permits: permits, fairness: mode), permits, $0, yields)
                        }, note: note(label)))
            }
        }
        return turns
    }

    /// What a switch of tasks costs in this language, whatever the primitive.
    private static var floors: [Turn] {
        [
            Turn(
                workload: "pingpong",
                contender: Contender(PingPong.floorName) { try await ContinuationBaton().run(roundTrips: $0) },
                note: "a floor: Swift without a channel"),
            Turn(
                workload: "semaphore.8on2.yield", contender: Contender("8 tasks that yield") { await yields($0) },
                note: "a floor: Swift without a semaphore"),
        ]
    }

    private static func yields(_ operations: Int) async -> Sample {
        let tasks = 8
        let meter = Meter.begin()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<tasks {
                let times = operations * (task + 1) / tasks - operations * task / tasks
                group.addTask { for _ in 0..<times { await Task.yield() } }
            }
        }
        return meter.end(operations: operations)
    }

    private static func note(_ label: String) -> String {
        label == OurChannel.defaultFairness ? "newcomers may pass, boundedly" : "strict order"
    }
}
