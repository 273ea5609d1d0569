// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The suite `peers`: the work of other libraries beside ours. This file is its table of contents.
//
// The other libraries are there only with the package trait `Peers`; every file that imports one is empty without it.

enum Peers {
    static let name = "peers"

    /// What to type, when the executable was built without the trait.
    static let howToRun =
        "the suite \"\(name)\" needs the other libraries, which this build does not have: use "
        + "swift run -c release --traits Peers backpressure-bench \(name)"

    /// Nil without the trait.
    static func rows() -> [Row]? {
        #if Peers
            return pairs + [meeting] + streams + [pingPong] + demand
        #else
            return nil
        #endif
    }
}
