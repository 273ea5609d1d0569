// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// LMAX's Disruptor: one producer and one consumer with the yielding strategy, which is the fast one, and four producers
// with the blocking strategy, which is the default.

import com.lmax.disruptor.BlockingWaitStrategy;
import com.lmax.disruptor.EventHandler;
import com.lmax.disruptor.RingBuffer;
import com.lmax.disruptor.WaitStrategy;
import com.lmax.disruptor.YieldingWaitStrategy;
import com.lmax.disruptor.dsl.Disruptor;
import com.lmax.disruptor.dsl.ProducerType;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

public final class WithDisruptor {
    private static final class Slot {
        long element;
    }

    static long stream(int capacity, long elements, int producers) throws Exception {
        Elsewhere.Checksum checksum = new Elsewhere.Checksum();
        CountDownLatch completed = new CountDownLatch(1);
        WaitStrategy waiting = producers == 1 ? new YieldingWaitStrategy() : new BlockingWaitStrategy();
        long start = System.nanoTime();
        Disruptor<Slot> disruptor = new Disruptor<>(
            Slot::new, capacity,
            task -> {
                Thread thread = new Thread(task);
                thread.setDaemon(true);
                return thread;
            },
            producers == 1 ? ProducerType.SINGLE : ProducerType.MULTI, waiting);
        disruptor.handleEventsWith(new EventHandler<Slot>() {
            private long left = elements;

            @Override
            public void onEvent(Slot slot, long sequence, boolean isEndOfBatch) {
                checksum.add(slot.element);
                if (--left == 0) completed.countDown();
            }
        });
        RingBuffer<Slot> ring = disruptor.start();
        List<Elsewhere.Body> bodies = new ArrayList<>();
        for (int index = 0; index < producers; index++) {
            long first = elements * index / producers;
            long end = elements * (index + 1) / producers;
            bodies.add(() -> {
                for (long element = first; element < end; element++) {
                    long sequence = ring.next();
                    ring.get(sequence).element = element;
                    ring.publish(sequence);
                }
            });
        }
        Elsewhere.together(bodies);
        completed.await();
        long elapsed = System.nanoTime() - start;
        disruptor.shutdown();
        checksum.verify(elements);
        return elapsed;
    }

    public static void main(String[] arguments) throws IOException {
        List<Elsewhere.Turn> turns = new ArrayList<>();
        for (int capacity : new int[] {64, 256, 1024}) {
            turns.add(new Elsewhere.Turn(
                "spsc." + capacity, "Disruptor", "threads, which spin and yield", n -> stream(capacity, n, 1)));
        }
        for (int capacity : new int[] {64, 1024}) {
            turns.add(new Elsewhere.Turn(
                "mpsc." + capacity, "Disruptor", "threads, which block", n -> stream(capacity, n, 4)));
        }
        Elsewhere.converse(turns);
    }
}
