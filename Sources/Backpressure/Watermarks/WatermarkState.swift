// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What a watermark gate decides. No lock, no clock, no hook.
//
// ## Algorithm
// Each key has a level and a `Hysteresis`; so has the sum of all levels. A key is *wanted* paused when either says so,
// and *told* paused when the client has been told. What differs is handed out as edges. A key with a difference stands
// in `changed` once; a difference that vanishes before anybody took it is never told. So edges are bounded by the number
// of keys, and each alternates with its opposite.
//
// A key that is assigned arrives at the client un-paused, whatever it was before: its `told` is reset, so the pause is
// told again.
//
// ## Invariants
// W1  total is the sum of all levels, and no level is negative.
// W2  An assigned key stands in `changed` if wanted and told differ.
// W3  A key that is not assigned and has no level is forgotten, unless its pause must still last.
// W4  `pausedCount` is the number of assigned keys that are wanted paused by their own level.

/// One key.
struct WatermarkEntry<Key: Hashable & Sendable>: Sendable {
    let key: Key
    var level = 0
    var gate = Hysteresis()
    var isAssigned = false
    var isTold = false
    var isChanged = false
}

/// The state under the lock.
struct WatermarkState<Key: Hashable & Sendable>: Sendable {
    /// The number of the total in `due`; keys come after it.
    private static var totalNumber: Int { 0 }

    let rule: HysteresisRule
    let totalRule: HysteresisRule?
    private(set) var now = Int64.min
    private(set) var total = 0
    private(set) var totalGate = Hysteresis()
    private(set) var assignedCount = 0
    private(set) var pausedCount = 0
    private(set) var pauses: UInt64 = 0
    private(set) var totalPauses: UInt64 = 0
    private(set) var due = DueHeap()
    private var entries: [WatermarkEntry<Key>?] = [nil]
    private var free: [Int] = []
    private var numbers: [Key: Int] = [:]
    private var changed: [Int] = []

    // For the gate: who tells, who waits.
    var isTelling = false
    var lastPoll = Int64.min
    var pollers = WaiterList(tag: 1)
    var deadlines = Deadlines(armedFor: .min)
    var alarm = Alarm()
    var isClosed = false

    init(rule: HysteresisRule, totalRule: HysteresisRule?) {
        self.rule = rule
        self.totalRule = totalRule
    }

    var knownCount: Int { numbers.count }

    /// Assigned keys that are wanted paused.
    var pausedAssigned: Int { totalGate.isPaused ? assignedCount : pausedCount }

    /// Whether a poll would fetch something, or must join the group.
    var isReady: Bool { assignedCount == 0 || pausedAssigned < assignedCount }

    var hasChanges: Bool { changed.contains { number in differs(number) } }

    var earliest: Int64 { min(due.earliest, deadlines.earliest) }

    func level(of key: Key) -> Int { numbers[key].flatMap { entries[$0]?.level } ?? 0 }

    func isPaused(_ key: Key) -> Bool {
        totalGate.isPaused || (numbers[key].flatMap { entries[$0]?.gate.isPaused } ?? false)
    }

    // MARK: Events

    /// Takes note of the time, and makes the changes that are due.
    mutating func advance(to reading: Int64) {
        now = max(now, reading)
        while let number = due.due(at: now) {
            due.remove(number)
            if number == Self.totalNumber { updateTotal() } else { update(number) }
        }
    }

    /// Adds `amount`, which may be negative, to a level; false when it would become negative or overflow.
    mutating func add(_ amount: Int, to key: Key) -> Bool {
        let number = number(of: key)
        guard var entry = entries[number] else { return false }
        let (level, overflow) = entry.level.addingReportingOverflow(amount)
        let (sum, sumOverflow) = total.addingReportingOverflow(amount)
        guard !overflow, !sumOverflow, level >= 0 else {
            forgetIfIdle(number)
            return false
        }
        entry.level = level
        entries[number] = entry
        total = sum
        update(number)
        updateTotal()
        return true
    }

    /// The client has these keys now, all of them un-paused there.
    mutating func assign(_ keys: some Sequence<Key>) {
        for key in keys {
            let number = number(of: key)
            guard var entry = entries[number] else { continue }
            if !entry.isAssigned {
                entry.isAssigned = true
                assignedCount += 1
                if entry.gate.isPaused { pausedCount += 1 }
            }
            entry.isTold = false
            entries[number] = entry
            note(number)
        }
    }

    /// The client has these keys no more; their levels stay until what was fetched is dealt with.
    mutating func unassign(_ keys: some Sequence<Key>) {
        for key in keys {
            guard let number = numbers[key], var entry = entries[number], entry.isAssigned else { continue }
            entry.isAssigned = false
            assignedCount -= 1
            if entry.gate.isPaused { pausedCount -= 1 }
            entries[number] = entry
            forgetIfIdle(number)
        }
    }

    // MARK: Edges

    /// What is to be told, and is told from here on.
    mutating func takeEdges() -> [WatermarkEdge<Key>] {
        guard !changed.isEmpty else { return [] }
        var edges: [(WatermarkEdge<Key>.Action, [Key])] = []
        for number in changed {
            let differs = differs(number)
            entries[number]?.isChanged = false
            guard differs, let entry = entries[number] else {
                forgetIfIdle(number)
                continue
            }
            entries[number]?.isTold.toggle()
            let action = entry.isTold ? WatermarkEdge<Key>.Action.resume : .pause
            if edges.last?.0 == action {
                edges[edges.count - 1].1.append(entry.key)
            } else {
                edges.append((action, [entry.key]))
            }
        }
        changed.removeAll(keepingCapacity: changed.count < 64)
        return edges.map { WatermarkEdge(action: $0.0, keys: $0.1) }
    }

    private func differs(_ number: Int) -> Bool {
        guard let entry = entries[number], entry.isAssigned else { return false }
        return entry.isTold != (entry.gate.isPaused || totalGate.isPaused)
    }

    /// Enters a key whose wanted and told may differ (W2).
    private mutating func note(_ number: Int) {
        guard entries[number]?.isChanged == false, differs(number) else { return }
        entries[number]?.isChanged = true
        changed.append(number)
    }

    // MARK: Levels

    private mutating func update(_ number: Int) {
        guard var entry = entries[number] else { return }
        let hasChanged = entry.gate.update(level: entry.level, now: now, rule)
        entries[number] = entry
        due.set(number, deadline: entry.gate.due)
        if hasChanged {
            if entry.gate.isPaused { pauses += 1 }
            if entry.isAssigned { pausedCount += entry.gate.isPaused ? 1 : -1 }
            note(number)
        }
        forgetIfIdle(number)
    }

    private mutating func updateTotal() {
        guard let totalRule else { return }
        let hasChanged = totalGate.update(level: total, now: now, totalRule)
        due.set(Self.totalNumber, deadline: totalGate.due)
        guard hasChanged else { return }
        if totalGate.isPaused { totalPauses += 1 }
        for number in entries.indices.dropFirst() { note(number) }
    }

    private mutating func number(of key: Key) -> Int {
        if let number = numbers[key] { return number }
        let number = free.popLast() ?? entries.count
        if number == entries.count { entries.append(nil) }
        entries[number] = WatermarkEntry(key: key)
        numbers[key] = number
        return number
    }

    /// Keeps nothing of a key that nobody has and that holds nothing (W3).
    private mutating func forgetIfIdle(_ number: Int) {
        guard let entry = entries[number], !entry.isAssigned, entry.level == 0, !entry.isChanged, !entry.gate.isPaused
        else { return }
        entries[number] = nil
        numbers[entry.key] = nil
        due.remove(number)
        free.append(number)
    }

    /// W1 to W4; O(n).
    func checkInvariants() -> Bool {
        var (sum, assigned, paused) = (0, 0, 0)
        for entry in entries.compactMap({ $0 }) {
            guard entry.level >= 0, let number = numbers[entry.key] else { return false }
            sum += entry.level
            if entry.isAssigned { assigned += 1 }
            if entry.isAssigned, entry.gate.isPaused { paused += 1 }
            if differs(number), !entry.isChanged { return false }
            if entry.isChanged != changed.contains(number) { return false }
            if !entry.isAssigned, entry.level == 0, !entry.isChanged, !entry.gate.isPaused { return false }
        }
        return sum == total && assigned == assignedCount && paused == pausedCount && due.checkInvariants()
    }
}
