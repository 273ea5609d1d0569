// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

import Backpressure

/// What the source sends: a measurement, and now and then an alarm.
struct Event: Sendable {
    var number: Int
    var isAlarm: Bool
}

/// A station that reports a hundred events in a burst, whether or not anybody keeps up.
struct Station {
    let events = (1...100).map { Event(number: $0, isAlarm: $0.isMultiple(of: 20)) }
}

/// A store that is slow: it needs a turn of the executor or more for each event.
actor Store {
    private(set) var alarms = 0
    private(set) var measurements = 0

    func save(_ event: Event) async {
        await Task.yield()
        if event.isAlarm { alarms += 1 } else { measurements += 1 }
    }
}
