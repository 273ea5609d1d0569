// swift-tools-version: 6.2
import PackageDescription

// The default graph has no third-party package: a plain `swift build` fetches nothing. What needs one is behind a trait of
// its own, off by default; the dependency of a trait that is off is not even fetched.

/// The dependencies that a trait brings in, as conditional products of a target.
func products(_ names: [String], of package: String, trait: String) -> [Target.Dependency] {
    names.map { .product(name: $0, package: package, condition: .when(traits: [trait])) }
}

/// The libraries that `backpressure-bench peers` compares with.
let peers: [Target.Dependency] =
    products(["AsyncAlgorithms"], of: "swift-async-algorithms", trait: "Peers")
    + products(["NIOCore"], of: "swift-nio", trait: "Peers")
    + products(["OpenCombine"], of: "OpenCombine", trait: "Peers")
    + products(["Atomics"], of: "swift-atomics", trait: "Peers")
    + products(["DequeModule"], of: "swift-collections", trait: "Peers")
    + products(["Histogram"], of: "hdrhistogram-swift", trait: "Peers")

/// What `backpressure-bench overload` serves and calls with.
let httpScenario: [Target.Dependency] =
    products(["Hummingbird"], of: "hummingbird", trait: "HTTPScenario")
    + products(["NIOCore", "NIOPosix"], of: "swift-nio", trait: "HTTPScenario")
    + products(["HTTPTypes"], of: "swift-http-types", trait: "HTTPScenario")
    + products(["Logging"], of: "swift-log", trait: "HTTPScenario")

let upcomingFeatures: [SwiftSetting] = [
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
]

/// With `BACKPRESSURE_MODEL_CHECK=1` in the environment the atomics, locks and plain slots of the core are the model
/// checker's: every operation then calls its scheduler.
///
/// It is an environment variable and not a package trait because traits unify over a user's whole graph.
let modelChecking = Context.environment["BACKPRESSURE_MODEL_CHECK"] == "1"

/// With `BACKPRESSURE_ONLY_TESTS=NAME,NAME` in the environment these are the only test targets, and what they have no use
/// for is left out: `swift test` builds every target there is.
let onlyTests = Context.environment["BACKPRESSURE_ONLY_TESTS"].map { Set($0.split(separator: ",").map(String.init)) }

let hasBenchmark = !modelChecking && onlyTests == nil

/// What has no use for the model checker's atomics, and would only be compiled in vain beside them.
let nativeTargets: [Target] = [
    .target(
        name: "BackpressureMetrics",
        dependencies: ["Backpressure"]
            + products(["Metrics"], of: "swift-metrics", trait: "SwiftMetrics")
            + products(["Logging"], of: "swift-log", trait: "Logging")
            + products(["Tracing"], of: "swift-distributed-tracing", trait: "Tracing")
            + products(["ServiceLifecycle"], of: "swift-service-lifecycle", trait: "ServiceLifecycle"),
        swiftSettings: upcomingFeatures
    ),

    .testTarget(
        name: "BackpressureTests",
        dependencies: ["Backpressure", "BackpressureTestKit", "BackpressureTestSupport"],
        swiftSettings: upcomingFeatures
    ),
    .testTarget(
        name: "BackpressureMetricsTests",
        dependencies: ["BackpressureMetrics", "BackpressureTestKit", "BackpressureTestSupport"]
            + products(["MetricsTestKit"], of: "swift-metrics", trait: "SwiftMetrics")
            + products(["InMemoryLogging"], of: "swift-log", trait: "Logging")
            + products(["InMemoryTracing"], of: "swift-distributed-tracing", trait: "Tracing")
            + products(["ServiceLifecycleTestKit"], of: "swift-service-lifecycle", trait: "ServiceLifecycle"),
        swiftSettings: upcomingFeatures
    ),
    .testTarget(
        name: "BackpressureStressTests",
        dependencies: ["Backpressure", "BackpressureTestKit", "BackpressureTestSupport"],
        swiftSettings: upcomingFeatures
    ),
    .testTarget(
        name: "BackpressureDocumentationTests",
        dependencies: ["Backpressure", "BackpressureMetrics", "BackpressureTestKit"],
        swiftSettings: upcomingFeatures
    ),
]

let benchmarkTargets: [Target] = [
    // The benchmark executable and the C target that counts its allocations.
    .target(name: "AllocationCounter", path: "Benchmarks/AllocationCounter"),
    .executableTarget(
        name: "BackpressureBenchmarks",
        dependencies: ["Backpressure", "BackpressureMetrics", "AllocationCounter"] + peers + httpScenario,
        path: "Benchmarks/BackpressureBenchmarks",
        swiftSettings: upcomingFeatures
    ),

    .testTarget(
        name: "BackpressureBenchmarkTests",
        dependencies: ["Backpressure", "BackpressureBenchmarks"],
        swiftSettings: upcomingFeatures
    ),
]

/// What the traits of `BackpressureMetrics` need.
///
/// A package that no target names, not even behind a trait, is fetched always: so it is listed only with that target.
let metricsPackages: [Package.Dependency] = [
    .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.10.0"),
    .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.3.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.8.0"),
]

/// What the traits of the benchmark need.
let benchmarkPackages: [Package.Dependency] = [
    .package(url: "https://github.com/apple/swift-async-algorithms", from: "1.1.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.90.0"),
    .package(url: "https://github.com/OpenCombine/OpenCombine", from: "0.14.0"),
    .package(url: "https://github.com/apple/swift-atomics", from: "1.3.0"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.3.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.1.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.16.0"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.4.0"),
]

let package = Package(
    name: "swift-backpressure",
    platforms: [.macOS(.v15), .iOS(.v18), .tvOS(.v18), .watchOS(.v11), .visionOS(.v2)],
    products: [
        .library(name: "Backpressure", targets: ["Backpressure"]),
        .library(name: "BackpressureTestKit", targets: ["BackpressureTestKit"]),
    ] + (modelChecking ? [] : [.library(name: "BackpressureMetrics", targets: ["BackpressureMetrics"])])
        + (hasBenchmark ? [.executable(name: "backpressure-bench", targets: ["BackpressureBenchmarks"])] : []),
    traits: [
        .trait(name: "SwiftMetrics", description: "BackpressureMetrics reports to swift-metrics"),
        .trait(name: "Logging", description: "BackpressureMetrics writes changes of health to swift-log"),
        .trait(name: "Tracing", description: "BackpressureMetrics makes a span of a wait that suspends"),
        .trait(name: "ServiceLifecycle", description: "BackpressureMetrics drains primitives on graceful shutdown"),
        .trait(name: "Peers", description: "backpressure-bench compares with other libraries"),
        .trait(name: "HTTPScenario", description: "backpressure-bench overloads an HTTP server"),
        .default(enabledTraits: []),
    ],
    dependencies: (modelChecking ? [] : metricsPackages) + (hasBenchmark ? benchmarkPackages : []),
    targets: ([
        .target(
            name: "Backpressure",
            dependencies: modelChecking ? ["ModelChecker"] : [],
            exclude: [modelChecking ? "Internal/Atomics/Native" : "Internal/Atomics/Modelled"],
            swiftSettings: upcomingFeatures
        ),
        .target(
            name: "BackpressureTestKit",
            dependencies: ["Backpressure"],
            swiftSettings: upcomingFeatures
        ),

        // The model checker: fibres in C, the explorer in Swift. The core depends on it only when it is swapped in.
        .target(name: "ModelFibers", path: "Tests/ModelFibers"),
        .target(
            name: "ModelChecker",
            dependencies: ["ModelFibers"],
            path: "Tests/ModelChecker",
            swiftSettings: upcomingFeatures
        ),
        .testTarget(
            name: "BackpressureModelTests",
            dependencies: ["Backpressure", "BackpressureTestKit", "BackpressureTestSupport", "ModelChecker"],
            exclude: ["Mutants/Survivors.md"],
            swiftSettings: upcomingFeatures + (modelChecking ? [.define("BACKPRESSURE_MODEL_CHECK")] : [])
        ),

        .target(
            name: "BackpressureTestSupport",
            dependencies: ["Backpressure", "BackpressureTestKit"],
            path: "Tests/BackpressureTestSupport",
            swiftSettings: upcomingFeatures
        ),
    ] + (modelChecking ? [] : nativeTargets) + (hasBenchmark ? benchmarkTargets : [])).filter { target in
        guard let onlyTests else { return true }
        if target.isTest { return onlyTests.contains(target.name) }
        return onlyTests.contains("BackpressureModelTests") || !["ModelFibers", "ModelChecker"].contains(target.name)
    }
)
