// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// A rejection as the status and the header of an HTTP answer, and back. Pure functions: numbers and strings, no HTTP library.
//
// RFC 6585 (429 Too Many Requests) and RFC 9110 (503 Service Unavailable, Retry-After). Retry-After is a number of
// seconds or a date; the date has three forms, of which servers send the first and clients must know all.

/// What an HTTP server answers instead of doing the work.
public struct RejectionResponse: Hashable, Sendable {
    /// 429 when the caller asks too much, 503 when the service cannot.
    public let status: Int
    /// The value of the header field `Retry-After`, in seconds; nil to leave it out.
    public let retryAfter: Int?
}

extension Rejection {
    /// This rejection as an HTTP answer.
    ///
    /// - Parameters:
    ///   - jitter: The time to come again is lengthened by a random part of up to so much of it, so that those who were rejected
    ///     together do not come back together; 0 to 1.
    ///   - generator: Where chance comes from.
    /// - Returns: Status 429 for ``rateLimited``, else 503; with the time to come again, if it is known, rounded up to seconds.
    /// - Precondition: `0 <= jitter <= 1`.
    public func response(
        jitter: Double = 0.2, using generator: inout some RandomNumberGenerator
    ) -> RejectionResponse {
        precondition(jitter >= 0 && jitter <= 1, "a jitter of \(jitter) does not lie between 0 and 1")
        let status = if case .rateLimited = self { 429 } else { 503 }
        guard let retryAfter else { return RejectionResponse(status: status, retryAfter: nil) }
        // At most 49 days in milliseconds, so nothing here can overflow.
        let milliseconds = Double(retryAfter.saturatingNanoseconds) / 1e6
        let spread = milliseconds * (1 + jitter * Double.random(in: 0...1, using: &generator))
        return RejectionResponse(status: status, retryAfter: max(1, Int((spread / 1_000).rounded(.up))))
    }

    /// This rejection as an HTTP answer, with the system's chance.
    ///
    /// - Parameter jitter: As above.
    /// - Returns: Status and time to come again.
    public func response(jitter: Double = 0.2) -> RejectionResponse {
        var generator = SystemChance()
        return response(jitter: jitter, using: &generator)
    }

    /// What an HTTP answer says about load: the way back.
    ///
    /// - Parameters:
    ///   - status: The status of the answer.
    ///   - retryAfter: The value of its header field `Retry-After`, in either form, if it had one.
    ///   - now: The present second since 1970, which a date is compared with.
    /// - Returns: ``rateLimited`` for 429, ``overLimit`` for 503, with the time to come again if it can be read; nil for any other
    ///   status.
    public static func response(status: Int, retryAfter: String?, now: Int) -> Rejection? {
        let delay = retryAfter.flatMap { HTTPRetryAfter.parse($0, now: now) }
        return switch status {
        case 429: .rateLimited(retryAfter: delay)
        case 503: .overLimit(retryAfter: delay)
        default: nil
        }
    }
}

/// The value of `Retry-After`.
enum HTTPRetryAfter {
    private static let months = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ]

    /// The delay; nil when the text is neither a number nor a date.
    ///
    /// A date that has passed is no delay.
    static func parse(_ text: String, now: Int) -> Duration? {
        let text = text.split(whereSeparator: { $0 == " " || $0 == "\t" }).joined(separator: " ").lowercased()
        guard !text.isEmpty, text.utf8.count <= 64 else { return nil }
        if text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
            // More digits than fit are a long time all the same.
            return .seconds(min(Int64(text) ?? .max, 1 << 40))
        }
        guard let instant = date(text, now: now) else { return nil }
        return .seconds(max(instant - now, 0))
    }

    /// Seconds since 1970.
    private static func date(_ text: String, now: Int) -> Int? {
        let words = text.split(whereSeparator: { " ,-".contains($0) }).map(String.init)
        // sun, 06 nov 1994 08:49:37 gmt | sunday, 06-nov-94 08:49:37 gmt | sun nov  6 08:49:37 1994
        if words.count == 6, words[5] == "gmt" {
            return seconds(day: words[1], month: words[2], year: words[3], time: words[4], now: now)
        }
        if words.count == 5 { return seconds(day: words[2], month: words[1], year: words[4], time: words[3], now: now) }
        return nil
    }

    private static func seconds(day: String, month: String, year: String, time: String, now: Int) -> Int? {
        let clock = time.split(separator: ":", omittingEmptySubsequences: false).compactMap { number(String($0)) }
        guard let day = number(day), let month = months.firstIndex(of: month), var full = number(year),
            clock.count == 3, (1...31).contains(day), clock[0] < 24, clock[1] < 60, clock[2] <= 60
        else { return nil }
        if year.count == 2 {
            // Two digits: the year of this century, unless it were more than 50 years ahead.
            full += 2000
            if daysSince1970(full, 1, 1) * 86_400 > now + 50 * 366 * 86_400 { full -= 100 }
        }
        guard (1600...9999).contains(full) else { return nil }
        return daysSince1970(full, month + 1, day) * 86_400 + clock[0] * 3_600 + clock[1] * 60 + clock[2]
    }

    private static func number(_ text: String) -> Int? {
        text.count <= 4 && text.allSatisfy { $0.isASCII && $0.isNumber } ? Int(text) : nil
    }

    /// Counted in years that begin in March, so that a leap day is the last of its year; eras of 400 years are alike.
    private static func daysSince1970(_ year: Int, _ month: Int, _ day: Int) -> Int {
        let shifted = month > 2 ? year : year - 1
        let era = shifted / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
