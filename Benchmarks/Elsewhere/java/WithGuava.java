// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// Guava's RateLimiter. Its burst is a second of its rate, and it has no denial but by asking without a wait.

import com.google.common.util.concurrent.RateLimiter;
import java.io.IOException;
import java.util.List;

public final class WithGuava {
    static long bucket(long operations, boolean isAllowed) {
        RateLimiter limiter = RateLimiter.create(isAllowed ? 1e9 : 1.0 / 3600);
        if (!isAllowed) limiter.tryAcquire();
        long allowed = 0;
        long start = System.nanoTime();
        for (long index = 0; index < operations; index++) {
            if (limiter.tryAcquire()) allowed++;
        }
        long elapsed = System.nanoTime() - start;
        // A limiter that has just been made has nothing stored, and counts in microseconds: not all need be allowed.
        if (isAllowed ? allowed == 0 : allowed != 0) {
            throw new IllegalStateException(allowed + " of " + operations + " were allowed");
        }
        return elapsed;
    }

    public static void main(String[] arguments) throws IOException {
        Elsewhere.converse(List.of(
            new Elsewhere.Turn("bucket.try", "Guava RateLimiter", "", n -> bucket(n, true)),
            new Elsewhere.Turn("bucket.denied", "Guava RateLimiter", "", n -> bucket(n, false))));
    }
}
