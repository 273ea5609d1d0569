// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The bugs that every test of such primitives must find, and where each is planted by hand. The suites of the lists
// show that it is found; here only that none has been lost.
//
// bug                                        planted as
// early publish                              a store before its element, in the bench: `swappedStoresAreFound`
// relaxed publish                            channel: relaxedPublish
// missing flag re-check                      channel: noRecheckSender; semaphore: no look after the gate
// permit leaked on cancel                    semaphore: wakes who was granted
// waiter resumed twice                       channel: cancelResumesGranted
// lost wake-up on close                      channel: closeNoWakeReceivers, closeNoWakeSenders; semaphore: close forgets
// wrong lap arithmetic                       channel: wrong lap arithmetic
// off-by-one capacity                        channel: off-by-one capacity; semaphore: off by one
// head waiter not re-granted after a cancel  semaphore: a cancelled head blocks the next
// credit overflow                            credits: granted without room

#if BACKPRESSURE_MODEL_CHECK
    import Testing

    struct NamedBugTests {
        @Test(arguments: [
            "relaxedPublish", "noRecheckSender", "cancelResumesGranted", "closeNoWakeReceivers", "closeNoWakeSenders",
            "wrong lap arithmetic", "off-by-one capacity",
        ])
        func isPlantedInTheChannel(_ name: String) {
            #expect(plantedBugs.count { $0.description == name } == 1)
        }

        @Test(arguments: [
            "no look after the gate", "wakes who was granted", "close forgets who waits", "off by one",
            "a cancelled head blocks the next",
        ])
        func isPlantedInTheSemaphore(_ name: String) {
            #expect(semaphoreBugs.count { $0.description == name } == 1)
        }

        @Test func creditOverflowIsPlanted() {
            #expect(creditBugs.count { $0.description.hasPrefix("credit overflow") } == 1)
        }
    }
#endif
