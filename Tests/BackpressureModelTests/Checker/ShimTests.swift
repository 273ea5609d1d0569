// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Do the core's own door types reach the checker when it is swapped in?

#if BACKPRESSURE_MODEL_CHECK
    import ModelChecker
    import Testing

    @testable import Backpressure

    @Suite struct ShimTests {
        private final class Shared: Sendable {
            let words = Words()
            let state = LockedState(0)
            var word: AtomicWord { AtomicWord(at: words.base) }
        }

        @Test func lockedStateExcludesAndOrders() {
            let thread = { @Sendable (shared: Shared) in
                shared.state.withLock { count in
                    let before = count
                    // A step inside the body: another thread may run, but not into the body.
                    shared.word.storeRelaxed(UInt64(before))
                    PlainAccess.write(shared.words.base + 1)
                    count = before + 1
                }
            }
            let counting = Model("locked state", setup: { Shared() }, threads: [thread, thread, thread]) { shared in
                ModelRuntime.expect(shared.state.withLock { $0 } == 3, "lost")
            }
            let exploration = Explorer.explore(counting)
            #expect(exploration.exhausted && exploration.executions == 6, "\(exploration)")
        }

        @Test func wordsAndPlainSlotsReport() {
            func publishing(_ publish: @escaping @Sendable (AtomicWord) -> Void) -> Model {
                Model(
                    "publish", setup: { Shared() },
                    threads: [
                        { shared in
                            PlainAccess.write(shared.words.base + 1)
                            publish(shared.word)
                        },
                        { shared in
                            while decide(shared.word.loadAcquiring() == 0) { spinPause() }
                            PlainAccess.read(shared.words.base + 1)
                        },
                    ])
            }
            #expect(Explorer.explore(publishing { $0.storeReleasing(1) }).exhausted)
            #expect(Explorer.explore(publishing { _ = $0.exchangeAcquiringAndReleasing(1) }).exhausted)
            #expect(Explorer.explore(publishing { _ = $0.fetchOrAcquiringAndReleasing(1) }).exhausted)
            #expect(Explorer.explore(publishing { $0.storeRelaxed(1) }).violation?.kind == .dataRace)
            #expect(Explorer.explore(publishing { _ = $0.fetchAddRelaxed(1) }).violation?.kind == .dataRace)
        }
    }
#endif
