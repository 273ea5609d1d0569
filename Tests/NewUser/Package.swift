// swift-tools-version: 6.2
import PackageDescription

// A package as a new user makes it: one dependency, one executable for each of the commonest tasks. `.ci/run newuser`
// copies it out of the tree, builds it there, runs the programs and compares what they print with what they say they do.

let tasks = [
    "HandOver", "Timeout", "DropOldest", "LimitConcurrency", "RatePerTenant", "RequestN", "PauseResume",
    "BreakerAndRetries", "ShutdownWithDrain",
]

let package = Package(
    name: "new-user",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "swift-backpressure", path: Context.environment["BACKPRESSURE_PATH"] ?? "../..")
    ],
    targets: tasks.map { name in
        .executableTarget(
            name: name,
            dependencies: [
                .product(name: "Backpressure", package: "swift-backpressure"),
                .product(name: "BackpressureMetrics", package: "swift-backpressure"),
            ])
    }
)
