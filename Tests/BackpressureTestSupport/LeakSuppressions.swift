// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// What LeakSanitizer need not report in `swift test --sanitize=address`: six objects that XCTest's launcher leaks before
// any test runs. They are named by their functions, none of which ever calls code of this package.

private let suppressions: StaticString = """
    leak:s6XCTest0A8SuiteRunC
    leak:s6XCTest11XCTMainMisc

    """

/// LeakSanitizer calls this by its name as the process ends.
@_cdecl("__lsan_default_suppressions")
public func leakSanitizerDefaultSuppressions() -> UnsafePointer<CChar> {
    UnsafeRawPointer(suppressions.utf8Start).assumingMemoryBound(to: CChar.self)
}
