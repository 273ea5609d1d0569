// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The edges of a monitor's judgement as log lines, at a bounded rate.
//
// ## Algorithm
// For each rule of each primitive: what it said when it was last logged, and how often it has changed since. A change is
// logged at once if the last line is long enough ago; else it is counted, and the first look after the quiet time logs
// how things stand and how many changes went unlogged. So a rule that flaps writes one line in a quiet time, and the
// last line always tells the state that lasts.

#if Logging
    public import Logging
    import Synchronization

    /// Writes a line when a health rule begins to hold for a primitive, and when it ceases to.
    ///
    /// ```swift
    /// let monitor = HealthMonitor(registry)
    /// let health = HealthLogger(monitor, logger: Logger(label: "backpressure"))
    /// health.look()
    /// ```
    ///
    /// A line that a rule holds is a warning, or an error where the rule says overloaded; that it holds no more is a notice.
    /// Each carries, as text and as metadata, the primitive and its labels, the signal (the reason), the threshold, the
    /// value (the load), the status, and how many changes were not logged. For one rule of one primitive there is at most one
    /// line in a quiet time.
    public final class HealthLogger: Sendable {
        private struct Key: Hashable, Sendable {
            let primitive: String
            let labels: [Label]
            let signal: HealthSignal
            let rule: HealthRule
        }

        private struct Course: Sendable {
            var holds = false
            var loggedHolds = false
            var loggedAt: Duration?
            /// Changes since the last line.
            var changes = 0
        }

        private struct Line: Sendable {
            let key: Key
            let holds: Bool
            /// Nil when the rule does not hold any more.
            let value: Double?
            let unlogged: Int
        }

        private let monitor: HealthMonitor
        private let logger: Logger
        private let quietTime: Duration
        private let now: @Sendable () -> Duration
        private let sleep: @Sendable (Duration) async throws -> Void
        private let courses = Mutex<[Key: Course]>([:])

        /// A logger that has written nothing.
        ///
        /// - Parameters:
        ///   - monitor: Whose judgement is logged. Its looks are this logger's: do not look elsewhere, rates would suffer.
        ///   - logger: Where lines go.
        ///   - quietTime: The shortest time between two lines of one rule of one primitive.
        ///   - clock: The clock of the quiet time.
        public init(
            _ monitor: HealthMonitor, logger: Logger, quietTime: Duration = .seconds(10),
            clock: some Clock<Duration> = ContinuousClock()
        ) {
            self.monitor = monitor
            self.logger = logger
            self.quietTime = quietTime
            let start = clock.now
            now = { start.duration(to: clock.now) }
            sleep = { try await clock.sleep(for: $0) }
        }

        /// Looks, and logs what has changed.
        ///
        /// - Returns: The report.
        @discardableResult
        public func look() -> HealthReport {
            let report = monitor.look()
            let now = now()
            let lines = courses.withLock { courses in Self.lines(report, &courses, now, quietTime) }
            for line in lines { write(line) }
            return report
        }

        /// Looks again and again until the task is cancelled.
        ///
        /// - Parameter interval: How long to sleep between two looks.
        public func run(every interval: Duration) async {
            repeat {
                look()
            } while (try? await sleep(interval)) != nil
        }

        private static func lines(
            _ report: HealthReport, _ courses: inout [Key: Course], _ now: Duration, _ quietTime: Duration
        ) -> [Line] {
            var values: [Key: Double] = [:]
            var order: [Key] = []
            for reason in report.reasons {
                let key = Key(
                    primitive: reason.primitive, labels: reason.labels, signal: reason.signal, rule: reason.rule)
                values[key] = reason.value
                order.append(key)
            }
            let ceased = courses.keys.filter { values[$0] == nil }
                .sorted { ($0.primitive, $0.signal.rawValue) < ($1.primitive, $1.signal.rawValue) }
            var lines: [Line] = []
            for key in order + ceased {
                var course = courses[key] ?? Course()
                let holds = values[key] != nil
                if course.holds != holds {
                    course.holds = holds
                    course.changes += 1
                }
                let isQuiet = course.loggedAt.map { now - $0 < quietTime } ?? false
                if course.changes > 0, !isQuiet {
                    let unlogged = course.changes - (holds != course.loggedHolds ? 1 : 0)
                    lines.append(Line(key: key, holds: holds, value: values[key], unlogged: unlogged))
                    course = Course(holds: holds, loggedHolds: holds, loggedAt: now)
                }
                // What has been well for a quiet time needs no memory.
                courses[key] = course.holds || course.changes > 0 || isQuiet || course.loggedAt == now ? course : nil
            }
            return lines
        }

        private func write(_ line: Line) {
            let key = line.key
            let place = key.labels.isEmpty ? key.primitive : "\(key.primitive) \(key.labels)"
            let status = line.holds ? "\(key.rule.status)" : "cleared"
            let value = line.value.map { "\($0)" } ?? "at or below \(key.rule.clears)"
            let level: Logger.Level = !line.holds ? .notice : key.rule.status == .overloaded ? .error : .warning
            logger.log(
                level: level,
                "\(place): \(key.signal.rawValue) \(value), threshold \(key.rule.fires), \(status)",
                metadata: [
                    "primitive": "\(key.primitive)",
                    "labels": .dictionary(
                        Dictionary(key.labels.map { ($0.name, "\($0.value)") }, uniquingKeysWith: { first, _ in first })
                    ),
                    "reason": "\(key.signal.rawValue)",
                    "threshold": "\(line.holds ? key.rule.fires : key.rule.clears)",
                    "load": "\(value)",
                    "status": "\(status)",
                    "unlogged_changes": "\(line.unlogged)",
                ])
        }
    }
#endif
