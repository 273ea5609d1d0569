// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Do planted bugs act where they are planted, and do they say so when they cannot?

import ModelChecker
import Testing

@Suite struct MutationTests {
    private static let publisher = model(
        "publisher",
        [
            { words in
                words.write(1, 42)
                ModelRuntime.atomicStore(words.base, 1, .releasing)  // the publish
            },
            { words in
                let isThere = ModelRuntime.decide(words.load(0) == 1)  // the look
                if isThere { _ = words.read(1) }
            },
        ])

    private static func mutation(_ snippet: String, _ effect: Mutation.Effect) throws -> Mutation {
        // The snippet as it stands above, not here.
        try Mutation(
            validating: "MutationTests.swift", snippet: snippet, in: "Tests/BackpressureModelTests/Checker", effect)
    }

    @Test func withoutAMutationNothingChanges() {
        let exploration = Explorer.explore(Self.publisher)
        #expect(exploration.exhausted && exploration.mutationHits == 0, "\(exploration)")
    }

    @Test func effectsAct() throws {
        let look = "ModelRuntime.decide(" + "words.load(0) == 1)"
        let publish = "ModelRuntime.atomicStore(words.base, 1, .releasing)" + "  // the publish"
        for (snippet, effect) in [
            (look, Mutation.Effect.forceTrue), (look, .negate), (publish, .relaxed), (publish, .withoutRelease),
        ] {
            let mutation = try Self.mutation(snippet, effect)
            let exploration = Explorer.explore(Self.publisher, Options(mutation: mutation))
            #expect(
                exploration.violation?.kind == .dataRace && exploration.mutationHits > 0, "\(mutation) \(exploration)")
        }
        for (snippet, effect) in [(look, Mutation.Effect.forceFalse), (publish, .skip), (publish, .withoutAcquire)] {
            let mutation = try Self.mutation(snippet, effect)
            let exploration = Explorer.explore(Self.publisher, Options(mutation: mutation))
            #expect(exploration.exhausted && exploration.mutationHits > 0, "\(mutation) \(exploration)")
        }
        #expect(Explorer.explore(Self.publisher).exhausted, "a mutation ends with its exploration")
    }

    @Test func aSnippetThatIsNotOneIsAnError() {
        #expect(throws: Mutation.PlaceError.self) { try Self.mutation("no such" + " text anywhere", .negate) }
        #expect(throws: Mutation.PlaceError.self) { try Self.mutation("@Test func", .negate) }
        #expect(throws: Mutation.PlaceError.self) { try Self.mutation("", .negate) }
        #expect(throws: Mutation.PlaceError.self) {
            try Mutation(validating: "NoSuchFile.swift", snippet: "x", .negate)
        }
    }

    @Test func aSnippetThatIsNotOneTraps() async {
        await #expect(processExitsWith: .failure) {
            _ = Mutation(file: "NoSuchFile.swift", snippet: "x", .negate)
        }
    }

    @Test func sitesAreKnown() {
        _ = Explorer.explore(Self.publisher)
        let sites = ModelRuntime.sites.filter { $0.file.hasSuffix("MutationTests.swift") }
        #expect(sites.contains { $0.kind == .decide } && sites.contains { $0.kind == .store })
    }
}
