// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Elements of every kind that can go wrong in raw memory, each counting its own lives and deaths.

@testable import Backpressure

/// How many values were made and how many were destroyed.
final class LifeCount: Sendable {
    private let state = Shared((made: 0, destroyed: 0))

    var made: Int { state.value.made }
    var destroyed: Int { state.value.destroyed }
    var alive: Int { made - destroyed }

    func birth() { state.update { $0.made += 1 } }
    func death() { state.update { $0.destroyed += 1 } }
}

/// A move-only element that counts its death.
struct MoveOnly: ~Copyable, Sendable {
    let number: Int
    private let count: LifeCount

    init(_ number: Int, _ count: LifeCount) {
        self.number = number
        self.count = count
        count.birth()
    }

    deinit { count.death() }
}

/// A class element that counts its death.
final class Counted: Sendable {
    let number: Int
    private let count: LifeCount

    init(_ number: Int, _ count: LifeCount) {
        self.number = number
        self.count = count
        count.birth()
    }

    deinit { count.death() }
}

/// A class that cannot be shared between tasks.
final class NotSendable {
    var number: Int
    init(_ number: Int) { self.number = number }
}

/// 4 KiB by value.
struct Large: Sendable, Equatable {
    typealias Block = (
        SIMD64<UInt64>, SIMD64<UInt64>, SIMD64<UInt64>, SIMD64<UInt64>, SIMD64<UInt64>, SIMD64<UInt64>, SIMD64<UInt64>,
        SIMD64<UInt64>
    )
    var block: Block

    init(_ number: Int) {
        let row = SIMD64<UInt64>(repeating: UInt64(number))
        block = (row, row, row, row, row, row, row, row)
    }

    static func == (lhs: Large, rhs: Large) -> Bool {
        lhs.block.0 == rhs.block.0 && lhs.block.3 == rhs.block.3 && lhs.block.7 == rhs.block.7
    }
}

/// 17 bytes in a stride of 32: moving it in bulk writes the padding too.
///
/// Not of 64 bytes' alignment: `Task`'s result of such a type, optional, aborts in release builds of Swift 6.3.1
/// ("freed pointer was not the last allocation"), without any channel.
struct Padded: Sendable, Equatable {
    var row: SIMD4<Float>
    var flag: Bool

    init(_ number: Int) {
        row = SIMD4(repeating: Float(number))
        flag = number % 2 == 0
    }
}

/// Nine bytes in a stride of 16.
struct NineBytes: Sendable, Equatable {
    var number: Int
    var flag = true
}

/// An enumeration with payloads of different kinds.
enum Mixed: Sendable, Equatable {
    case nothing
    case number(Int)
    case text(String)
    indirect case nested(Mixed)
}
