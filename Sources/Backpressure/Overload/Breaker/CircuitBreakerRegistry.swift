// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Circuit breakers by key, as many as a bound allows.
//
// ## Idea
// Every host, shard or tenant fails by itself, so each has a breaker of its own, made when it is first asked for. Keys come
// from outside, so their number is bounded; what is forgotten at the bound must not be what protects somebody. A breaker
// that is closed and forgotten loses the counts of its window; one that is open and forgotten lets the calls through that
// it kept back. So an open one goes only when there is nothing else to go.
//
// ## Invariants
// I1  Never more than `capacity` breakers.
// I2  The list has each entry once, the one used last first; `places` has the same entries, by key.
// I3  User code (rules, hooks, destructors of keys) runs outside the lock, but for `==` and `hash(into:)` of keys. A breaker's own lock is taken inside that of the
//     registry, never the other way round.

/// A circuit breaker for each of many dependencies of one kind: hosts, shards, tenants.
///
/// ```swift
/// let breakers = CircuitBreakerRegistry<String>(capacity: 500)
/// let price = try await breakers.breaker(for: "eu.prices.example").run {
///     try await ask()
/// }
/// ```
///
/// - **Bound**: at most ``capacity`` breakers. At the bound a new key takes the place of the one that was used least
///   recently, of the eight such that which is closed; when all of them are open or set by hand, of the least recently used.
///   What is forgotten starts anew when it is asked for again, closed and with an empty window.
/// - **Sharing**: all who ask for a key get the same breaker. Ask for each call, rather than keep it: a breaker that was kept
///   while the registry forgot it protects only who keeps it.
/// - **Keys**: choose those that the program knows, not what callers send: a flood of new keys pushes closed breakers out.
///   Their `==` and `hash(into:)` run under the registry's lock, and must not use it.
/// - **Cost**: a lock and a look into a hash table.
public final class CircuitBreakerRegistry<Key: Hashable & Sendable>: Sendable {
    struct Entry: Sendable {
        let key: Key
        let breaker: CircuitBreaker
        /// The one that was used after it, and the one before; -1 at the ends.
        var newer: Int
        var older: Int
    }

    struct State: Sendable {
        var places: [Key: Int] = [:]
        var entries: [Entry] = []
        var newest = -1
        var oldest = -1
        var evicted: UInt64 = 0
    }

    /// How many of the least recently used are looked at for one that is closed.
    private static var looks: Int { 8 }

    /// How many breakers it holds at most.
    public let capacity: Int
    private let rules: @Sendable (Key) -> BreakerRules
    private let makeBreaker: @Sendable (Key, BreakerRules) -> CircuitBreaker
    let state = LockedState(State())

    /// A registry without breakers.
    ///
    /// - Parameters:
    ///   - capacity: How many breakers it holds at most.
    ///   - rules: The rules for a key, asked for once for each breaker that is made, outside all locks.
    ///   - clock: The clock of all breakers; tests pass a manual one.
    ///   - onTransition: Is told of each change of state of any of them, outside the lock, by whoever caused it.
    /// - Precondition: `1 <= capacity <= 2^30`, and rules are as ``CircuitBreaker`` wants them.
    public init(
        capacity: Int = 1_000, rules: @escaping @Sendable (Key) -> BreakerRules = { _ in BreakerRules() },
        clock: some Clock<Duration> = ContinuousClock(),
        onTransition: (@Sendable (Key, BreakerTransition) -> Void)? = nil
    ) {
        precondition((1...1 << 30).contains(capacity), "a registry of \(capacity) breakers")
        self.capacity = capacity
        self.rules = rules
        makeBreaker = { key, rules in
            guard let onTransition else { return CircuitBreaker("\(key)", rules: rules, clock: clock) }
            return CircuitBreaker("\(key)", rules: rules, clock: clock) { onTransition(key, $0) }
        }
    }

    /// The breaker of a key, made if there is none yet.
    ///
    /// - Parameter key: Which dependency.
    /// - Returns: The one that everybody gets who asks for the key.
    public func breaker(for key: Key) -> CircuitBreaker {
        if let breaker = existing(key) { return breaker }
        let made = makeBreaker(key, rules(key))
        let (breaker, evicted) = state.withLock { state -> (CircuitBreaker, Entry?) in
            // Somebody else was as quick.
            if let index = state.places[key] { return (state.use(index), nil) }
            guard decide(state.entries.count >= capacity) else {
                state.insert(Entry(key: key, breaker: made, newer: -1, older: -1))
                return (made, nil)
            }
            let index = state.victim(within: Self.looks)
            let evicted = state.entries[index]
            state.replace(index, by: Entry(key: key, breaker: made, newer: -1, older: -1))
            return (made, evicted)
        }
        // It ends here, outside the lock.
        withExtendedLifetime(evicted) {}
        return breaker
    }

    /// The breaker of a key, if one was made and not forgotten.
    ///
    /// - Parameter key: Which dependency.
    /// - Returns: The breaker; nil when there is none.
    public func existing(_ key: Key) -> CircuitBreaker? {
        state.withLock { state in state.places[key].map { state.use($0) } }
    }

    /// Forgets the breaker of a key.
    ///
    /// - Parameter key: Which dependency.
    /// - Returns: The breaker that it had; nil when there was none.
    @discardableResult
    public func remove(_ key: Key) -> CircuitBreaker? {
        let entry = state.withLock { state in state.places[key].map { state.remove($0) } }
        return entry?.breaker
    }

    /// How many breakers there are.
    public var count: Int { state.withLock { $0.entries.count } }

    /// How many breakers were forgotten because another key needed their place, so far.
    public var evicted: UInt64 { state.withLock { $0.evicted } }

    /// The readings of all breakers, one after the other.
    ///
    /// - Returns: The readings by key, each of one instant.
    public func snapshots() -> [Key: BreakerSnapshot] {
        let entries = state.withLock { $0.entries }
        return Dictionary(entries.map { ($0.key, $0.breaker.snapshot()) }, uniquingKeysWith: { first, _ in first })
    }
}

extension CircuitBreakerRegistry.State {
    /// The breaker at a place, which is the one used last from now on.
    mutating func use(_ index: Int) -> CircuitBreaker {
        if newest != index {
            unlink(index)
            link(index)
        }
        return entries[index].breaker
    }

    mutating func insert(_ entry: CircuitBreakerRegistry.Entry) {
        entries.append(entry)
        places[entry.key] = entries.count - 1
        link(entries.count - 1)
    }

    /// Of the entries that were used least recently, the first that is closed; the least recently used if none is.
    func victim(within looks: Int) -> Int {
        var index = oldest
        for _ in 0..<looks where index >= 0 {
            if entries[index].breaker.state == .closed { return index }
            index = entries[index].newer
        }
        return oldest
    }

    mutating func replace(_ index: Int, by entry: CircuitBreakerRegistry.Entry) {
        unlink(index)
        places[entries[index].key] = nil
        entries[index] = entry
        places[entry.key] = index
        link(index)
        evicted += 1
    }

    mutating func remove(_ index: Int) -> CircuitBreakerRegistry.Entry {
        unlink(index)
        let entry = entries[index]
        places[entry.key] = nil
        let last = entries.count - 1
        if index != last {
            // The last entry moves to the free place, and its neighbours learn of it.
            let moved = entries[last]
            entries[index] = moved
            places[moved.key] = index
            if moved.newer >= 0 { entries[moved.newer].older = index } else { newest = index }
            if moved.older >= 0 { entries[moved.older].newer = index } else { oldest = index }
        }
        entries.removeLast()
        return entry
    }

    private mutating func link(_ index: Int) {
        (entries[index].newer, entries[index].older) = (-1, newest)
        if newest >= 0 { entries[newest].newer = index } else { oldest = index }
        newest = index
    }

    private mutating func unlink(_ index: Int) {
        let (newer, older) = (entries[index].newer, entries[index].older)
        if newer >= 0 { entries[newer].older = older } else { newest = older }
        if older >= 0 { entries[older].newer = newer } else { oldest = newer }
    }

    /// The invariants I1 and I2.
    func holds(capacity: Int) -> Bool {
        guard entries.count <= capacity, places.count == entries.count else { return false }
        var (seen, index, newer) = (0, newest, -1)
        while index >= 0, seen <= entries.count {
            guard entries[index].newer == newer, places[entries[index].key] == index else { return false }
            (newer, index, seen) = (index, entries[index].older, seen + 1)
        }
        return seen == entries.count && oldest == newer
    }
}
