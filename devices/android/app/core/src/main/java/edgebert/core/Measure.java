package edgebert.core;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import java.util.function.IntConsumer;

/** Clock, warm-up and memory, as {@code edgebert/measure.py} takes them. */
final class Measure {
    /** Warm-up ends when the median of the last window is within this share of the one before. */
    private static final double SETTLED = 0.03;

    private static final int WINDOW = 16;

    private Measure() {}

    /** Milliseconds that one call takes. */
    static double timed(Runnable call) {
        long start = System.nanoTime();
        call.run();
        return (System.nanoTime() - start) / 1e6;
    }

    /** Calls until the running median settles, or some seconds have passed; returns how many calls it took. */
    static int warmUp(IntConsumer call, double seconds) {
        long deadline = System.nanoTime() + (long) (seconds * 1e9);
        double before = Double.NaN;
        int count = 0;
        while (true) {
            double[] samples = new double[WINDOW];
            for (int index = 0; index < WINDOW; index++) {
                int number = count++;
                samples[index] = timed(() -> call.accept(number));
                if (System.nanoTime() > deadline && count >= WINDOW) {
                    return count;
                }
            }
            Arrays.sort(samples);
            double now = (samples[WINDOW / 2 - 1] + samples[WINDOW / 2]) / 2;
            if (Math.abs(now - before) <= SETTLED * before) {
                return count;
            }
            before = now;
        }
    }

    /** The most memory that this process has held, a JVM's heap included; 0 where the kernel does not tell. */
    static long peakRssBytes() {
        for (String line : lines("/proc/self/status")) {
            if (line.startsWith("VmHWM:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
            }
        }
        return 0;
    }

    /** The load of the last minute, or null where it may not be read (apps on Android may not). */
    static Double loadAverage() {
        for (String line : lines("/proc/loadavg")) {
            return Double.valueOf(line.split(" ")[0]);
        }
        return null;
    }

    private static Iterable<String> lines(String path) {
        try {
            return Files.readAllLines(Paths.get(path), StandardCharsets.UTF_8);
        } catch (IOException | SecurityException error) {
            return Collections.emptyList();
        }
    }
}
