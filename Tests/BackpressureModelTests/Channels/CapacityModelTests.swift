// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Every program of `CapacityModels`, in every schedule; and bugs planted in what they explore, one at a time.

#if BACKPRESSURE_MODEL_CHECK
    @testable import Backpressure
    import ModelChecker
    import Testing

    @Suite(.serialized) struct CapacityModelTests {
        struct Family: Sendable, CustomTestStringConvertible {
            let testDescription: String
            let programs: [ChannelModel]

            static let all: [Family] =
                [
                    Family(testDescription: "a bound below the ring's", programs: CapacityModels.below),
                    Family(testDescription: "resize up", programs: CapacityModels.up),
                    Family(testDescription: "resize down", programs: CapacityModels.down),
                    Family(testDescription: "watermarks", programs: CapacityModels.watermarks),
                    Family(testDescription: "patience", programs: CapacityModels.patience),
                ] + (isDeep ? [Family(testDescription: "the large ones", programs: CapacityModels.deep)] : [])
        }

        @Test(arguments: Family.all)
        func holdsInEverySchedule(_ family: Family) {
            var tally = Tally()
            for program in family.programs {
                let exploration = Explorer.explore(program.model)
                #expect(exploration.exhausted, "\(exploration)")
                tally.add(exploration)
                if exploration.executions > 20_000 { print(exploration) }
            }
            print("\(family.testDescription): \(tally.line)")
            #expect(Set(family.programs.map(\.name)).count == family.programs.count)
        }

        static let bugs: [PlantedBug] = [
            PlantedBug(
                "limitLoweredUnseen", "ChannelCore+Capacity.swift", "decide(limit < state.roomLimit)", .forceFalse,
                in: CapacityModels.lowered),
            PlantedBug(
                "limitLoweredUnseen, under a batch", "ChannelState.swift", "decide(tail == loweredAt)", .forceFalse,
                in: CapacityModels.loweredUnderBatch),
            PlantedBug(
                "pauseLeftBySenders", "ChannelCore+Pump.swift",
                "guard decide(!state.pressure.isPaused) else { break }", .forceTrue, in: CapacityModels.markedFull),
            PlantedBug(
                "pauseNeverLeft", "ChannelState.swift", "decide(level <= low)", .forceFalse,
                in: CapacityModels.markedFull),
            PlantedBug(
                "pauseWithOpenGate", "ChannelCore+Pump.swift",
                "mayPassReceivers(state), decide(!state.pressure.isPaused)",
                .forceTrue, in: CapacityModels.headroom),
            PlantedBug(
                "twoThreadsTell", "ChannelCore+Capacity.swift", "decide(!state.isTelling)", .forceTrue,
                in: CapacityModels.twoTell),
            PlantedBug(
                "edgeForgotten", "ChannelCore+Capacity.swift",
                "decide(state.isToldPaused != state.pressure.isPaused)", .forceFalse, in: CapacityModels.headroom),
            PlantedBug(
                "patienceEndsWhatIsGranted", "ChannelCore+Patience.swift", "decide(state.senders.contains(due))",
                .forceTrue, in: CapacityModels.servedAtTheEnd),
            PlantedBug(
                "shrunkBoundIgnored", "ChannelCore+Pump.swift", "decide(logicalCount(state) < state.capacity)",
                .forceTrue, in: CapacityModels.lowered),
        ]

        @Test(arguments: bugs)
        func plantedBugIsFound(_ bug: PlantedBug) {
            let exploration = Explorer.explore(bug.program.model, Options(mutation: bug.mutation))
            let kind = exploration.violation.map { "\($0.kind.rawValue): \($0.message.prefix(80))" } ?? "-"
            print("planted \(bug) in [\(bug.program)]: \(kind), after \(exploration.executions) executions")
            #expect(exploration.violation != nil, "\(bug) survived: \(exploration)")
            #expect(exploration.mutationHits > 0)
        }
    }
#endif
