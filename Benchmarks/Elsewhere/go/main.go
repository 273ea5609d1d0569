// SPDX-License-Identifier: Apache-2.0
// swift-backpressure

// The workloads in Go: channels, a channel and x/sync's Weighted as semaphores, x/time's rate.Limiter. It takes turns
// with the other programs; `run` has the conversation. Two processors, set by GOMAXPROCS.
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// What consumers got, against what producers sent: the integers from 0 up.
type checksum struct{ sum, count int64 }

func (c *checksum) add(element int64) {
	c.sum += element
	c.count++
}

func (c checksum) verify(elements int64, elapsed time.Duration) (int64, error) {
	expected := elements * (elements - 1) / 2
	if c.sum != expected || c.count != elements {
		return 0, fmt.Errorf("%d of %d elements, sum %d instead of %d", c.count, elements, c.sum, expected)
	}
	return elapsed.Nanoseconds(), nil
}

func count(counted, expected int64, what string, elapsed time.Duration) (int64, error) {
	if counted != expected {
		return 0, fmt.Errorf("%d instead of %d %s", counted, expected, what)
	}
	return elapsed.Nanoseconds(), nil
}

// Channels

func pairTry(elements int64) (int64, error) {
	channel := make(chan int64, 1024)
	var got checksum
	start := time.Now()
	for element := int64(0); element < elements; element++ {
		select {
		case channel <- element:
		default:
		}
		select {
		case received := <-channel:
			got.add(received)
		default:
		}
	}
	return got.verify(elements, time.Since(start))
}

func pairWaiting(elements int64) (int64, error) {
	channel := make(chan int64, 1024)
	var got checksum
	start := time.Now()
	for element := int64(0); element < elements; element++ {
		channel <- element
		got.add(<-channel)
	}
	return got.verify(elements, time.Since(start))
}

func stream(capacity, elements, producers, consumers int64) (int64, error) {
	channel := make(chan int64, capacity)
	parts := make(chan checksum, consumers)
	start := time.Now()
	var producing sync.WaitGroup
	for index := int64(0); index < producers; index++ {
		first, end := elements*index/producers, elements*(index+1)/producers
		producing.Add(1)
		go func() {
			for element := first; element < end; element++ {
				channel <- element
			}
			producing.Done()
		}()
	}
	for index := int64(0); index < consumers; index++ {
		go func() {
			var got checksum
			for element := range channel {
				got.add(element)
			}
			parts <- got
		}()
	}
	producing.Wait()
	close(channel)
	var total checksum
	for index := int64(0); index < consumers; index++ {
		part := <-parts
		total.sum += part.sum
		total.count += part.count
	}
	return total.verify(elements, time.Since(start))
}

func pingPong(trips int64) (int64, error) {
	there, back := make(chan int64, 1), make(chan int64, 1)
	answered := make(chan checksum, 1)
	start := time.Now()
	go func() {
		var got checksum
		for trip := range there {
			got.add(trip)
			back <- trip + 1
		}
		answered <- got
	}()
	var returned checksum
	for trip := int64(0); trip < trips; trip++ {
		there <- trip
		returned.add(<-back - 1)
	}
	close(there)
	sent := <-answered
	elapsed := time.Since(start)
	if _, err := sent.verify(trips, elapsed); err != nil {
		return 0, err
	}
	return returned.verify(trips, elapsed)
}

// Semaphores

const tasks = 8

func pairOfChannelPermits(operations int64) (int64, error) {
	permits := make(chan struct{}, 1)
	var taken int64
	start := time.Now()
	for index := int64(0); index < operations; index++ {
		permits <- struct{}{}
		taken++
		<-permits
	}
	return count(taken, operations, "permits", time.Since(start))
}

func pairOfWeightedPermits(operations int64) (int64, error) {
	weighted, background := semaphore.NewWeighted(1), context.Background()
	var taken int64
	start := time.Now()
	for index := int64(0); index < operations; index++ {
		if weighted.Acquire(background, 1) == nil {
			taken++
			weighted.Release(1)
		}
	}
	return count(taken, operations, "permits", time.Since(start))
}

// With one permit only its holder adds to the ledger, so that two holders at once lose additions.
func crowd(operations int64, permits int, yields bool, work func(times int64, ledger *int64)) (int64, error) {
	var ledger int64
	var working sync.WaitGroup
	start := time.Now()
	for index := int64(0); index < tasks; index++ {
		times := operations*(index+1)/tasks - operations*index/tasks
		working.Add(1)
		go func() {
			work(times, &ledger)
			working.Done()
		}()
	}
	working.Wait()
	elapsed := time.Since(start)
	if !yields && permits == 1 {
		return count(ledger, operations, "additions under 1 permit", elapsed)
	}
	return elapsed.Nanoseconds(), nil
}

func crowdOnChannel(operations int64, permits int, yields bool) (int64, error) {
	channel := make(chan struct{}, permits)
	return crowd(operations, permits, yields, func(times int64, ledger *int64) {
		for index := int64(0); index < times; index++ {
			channel <- struct{}{}
			if yields {
				runtime.Gosched()
			} else {
				*ledger++
			}
			<-channel
		}
	})
}

func crowdOnWeighted(operations int64, permits int, yields bool) (int64, error) {
	weighted, background := semaphore.NewWeighted(int64(permits)), context.Background()
	return crowd(operations, permits, yields, func(times int64, ledger *int64) {
		for index := int64(0); index < times; index++ {
			if weighted.Acquire(background, 1) != nil {
				return
			}
			if yields {
				runtime.Gosched()
			} else {
				*ledger++
			}
			weighted.Release(1)
		}
	})
}

// A token bucket

func bucket(operations int64, isAllowed bool) (int64, error) {
	limiter, expected := rate.NewLimiter(1e9, 1_000_000), operations
	if !isAllowed {
		limiter, expected = rate.NewLimiter(1.0/3600, 1), 0
		limiter.Allow()
	}
	var allowed int64
	start := time.Now()
	for index := int64(0); index < operations; index++ {
		if limiter.Allow() {
			allowed++
		}
	}
	return count(allowed, expected, "admissions", time.Since(start))
}

// The conversation

type turn struct {
	workload, contender, note string
	run                       func(operations int64) (int64, error)
}

func turns() []turn {
	const channel, onChannel, weighted, limiter = "Go channel", "Go channel of permits", "Go x/sync Weighted", "Go x/time rate"
	turns := []turn{
		{"pair.try", channel, "", pairTry},
		{"pair.await", channel, "", pairWaiting},
		{"pingpong", channel, "", pingPong},
		{"semaphore.pair", onChannel, "", pairOfChannelPermits},
		{"semaphore.pair", weighted, "", pairOfWeightedPermits},
		{"bucket.try", limiter, "", func(n int64) (int64, error) { return bucket(n, true) }},
		{"bucket.denied", limiter, "", func(n int64) (int64, error) { return bucket(n, false) }},
	}
	for _, capacity := range []int64{64, 256, 1024} {
		capacity := capacity
		turns = append(turns, turn{fmt.Sprintf("spsc.%d", capacity), channel, "",
			func(n int64) (int64, error) { return stream(capacity, n, 1, 1) }})
		if capacity == 256 {
			continue
		}
		turns = append(turns, turn{fmt.Sprintf("mpsc.%d", capacity), channel, "",
			func(n int64) (int64, error) { return stream(capacity, n, 4, 1) }})
		turns = append(turns, turn{fmt.Sprintf("mpmc.%d", capacity), channel, "",
			func(n int64) (int64, error) { return stream(capacity, n, 4, 4) }})
	}
	for _, fight := range []struct {
		workload string
		permits  int
		yields   bool
	}{{"semaphore.8on1", 1, false}, {"semaphore.8on2.yield", 2, true}} {
		fight := fight
		turns = append(turns,
			turn{fight.workload, onChannel, "strict order",
				func(n int64) (int64, error) { return crowdOnChannel(n, fight.permits, fight.yields) }},
			turn{fight.workload, weighted, "strict order",
				func(n int64) (int64, error) { return crowdOnWeighted(n, fight.permits, fight.yields) }})
	}
	return turns
}

func take(turns []turn, words []string) (int64, error) {
	if len(words) == 3 {
		operations, err := strconv.ParseInt(words[2], 10, 64)
		for _, turn := range turns {
			if err == nil && operations > 0 && turn.workload == words[0] && turn.contender == words[1] {
				return turn.run(operations)
			}
		}
	}
	return 0, fmt.Errorf("no such turn")
}

func main() {
	turns := turns()
	out := bufio.NewWriter(os.Stdout)
	for _, turn := range turns {
		fmt.Fprintf(out, "%s\t%s\t%s\n", turn.workload, turn.contender, turn.note)
	}
	fmt.Fprintln(out)
	out.Flush()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		nanoseconds, err := take(turns, strings.Split(lines.Text(), "\t"))
		if err != nil {
			fmt.Fprintf(out, "! %v\n", err)
		} else {
			fmt.Fprintln(out, nanoseconds)
		}
		out.Flush()
	}
}
