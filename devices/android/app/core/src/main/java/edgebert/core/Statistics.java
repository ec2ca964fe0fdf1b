package edgebert.core;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** Percentiles that the sample can carry, by the rule of {@code edgebert/statistics.py}. */
public final class Statistics {
    private static final int[] PERCENTILES = {50, 90, 95, 99};

    private Statistics() {}

    /**
     * The fewest samples that a percentile is computed from: for the median the smallest sample whose range holds it
     * with 99 % confidence, for the others the early-stopping rule of MLPerf inference (Reddi et al. 2020).
     */
    public static int fewest(int percentile) {
        return switch (percentile) {
            case 50 -> 8;
            case 90 -> 64;
            case 95 -> 130;
            case 99 -> 662;
            default -> throw new IllegalArgumentException("no rule for percentile " + percentile);
        };
    }

    /** A percentile by linear interpolation, or null where the sample is too small for it. */
    public static Double percentile(double[] samples, int percentile) {
        if (samples.length < fewest(percentile)) {
            return null;
        }
        double[] ordered = samples.clone();
        Arrays.sort(ordered);
        double place = percentile / 100.0 * (ordered.length - 1);
        int below = (int) Math.floor(place);
        int above = Math.min(below + 1, ordered.length - 1);
        return ordered[below] + (place - below) * (ordered[above] - ordered[below]);
    }

    /** {@code p50}, {@code p90}, {@code p95}, {@code p99} (null where it must not be printed) and {@code n}. */
    public static Map<String, Object> percentiles(double[] samples) {
        Map<String, Object> found = new LinkedHashMap<>();
        for (int percentile : PERCENTILES) {
            found.put("p" + percentile, percentile(samples, percentile));
        }
        found.put("n", samples.length);
        return found;
    }
}
