// swift-tools-version: 6.2
import PackageDescription

// The default graph has no third-party package: a plain `swift build` fetches nothing.

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

/// What has no use for the model checker's atomics, and would only be compiled in vain beside them.
let nativeTargets: [Target] = [
    // The benchmark executable and the C target that counts its allocations.
    .target(name: "AllocationCounter", path: "Benchmarks/AllocationCounter"),
    .executableTarget(
        name: "BackpressureBenchmarks",
        dependencies: ["Backpressure", "AllocationCounter"],
        path: "Benchmarks/BackpressureBenchmarks",
        swiftSettings: upcomingFeatures
    ),

    .testTarget(
        name: "BackpressureTests",
        dependencies: ["Backpressure", "BackpressureTestKit", "BackpressureTestSupport"],
        swiftSettings: upcomingFeatures
    ),
    .testTarget(
        name: "BackpressureMetricsTests",
        dependencies: ["BackpressureMetrics", "BackpressureTestKit", "BackpressureTestSupport"],
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

let package = Package(
    name: "swift-backpressure",
    platforms: [.macOS(.v15), .iOS(.v18), .tvOS(.v18), .watchOS(.v11), .visionOS(.v2)],
    products: [
        .library(name: "Backpressure", targets: ["Backpressure"]),
        .library(name: "BackpressureMetrics", targets: ["BackpressureMetrics"]),
        .library(name: "BackpressureTestKit", targets: ["BackpressureTestKit"]),
    ] + (modelChecking ? [] : [.executable(name: "backpressure-bench", targets: ["BackpressureBenchmarks"])]),
    targets: [
        .target(
            name: "Backpressure",
            dependencies: modelChecking ? ["ModelChecker"] : [],
            exclude: [modelChecking ? "Internal/Atomics/Native" : "Internal/Atomics/Modelled"],
            swiftSettings: upcomingFeatures
        ),
        .target(
            name: "BackpressureMetrics",
            dependencies: ["Backpressure"],
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
    ] + (modelChecking ? [] : nativeTargets)
)
