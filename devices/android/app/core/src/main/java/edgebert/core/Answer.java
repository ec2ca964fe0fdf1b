package edgebert.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** An answer, of the shape of its task; offsets count characters (code points). */
public interface Answer {
    /** As a plain mapping, the same as in Python; flags only where they hold. */
    Map<String, Object> toJson();

    /** One label and its probability; {@code rejected}: out of the scope of all labels. */
    record Prediction(String label, double score, boolean truncated, boolean rejected) implements Answer {
        @Override
        public Map<String, Object> toJson() {
            return flagged(mapping("label", label, "score", rounded(score)), rejected, truncated);
        }
    }

    /** All labels that hold, the likeliest first. */
    record LabelSet(List<String> labels, List<Double> scores, boolean truncated) implements Answer {
        @Override
        public Map<String, Object> toJson() {
            List<Object> shown = new ArrayList<>();
            for (double score : scores) {
                shown.add(rounded(score));
            }
            return flagged(mapping("labels", labels, "scores", shown), false, truncated);
        }
    }

    /** A number, in the unit of the training data. */
    record Value(double value, boolean truncated) implements Answer {
        @Override
        public Map<String, Object> toJson() {
            return flagged(mapping("value", rounded(value)), false, truncated);
        }
    }

    /** A stretch of the text: its characters from {@code start} up to {@code end}. */
    record Span(String label, int start, int end, String text, double score) {
        Map<String, Object> toJson() {
            return mapping("label", label, "start", start, "end", end, "text", text, "score", rounded(score));
        }
    }

    /** All spans of a text in their order, not overlapping. */
    record Spans(List<Span> spans, boolean truncated) implements Answer {
        @Override
        public Map<String, Object> toJson() {
            List<Object> shown = new ArrayList<>();
            for (Span span : spans) {
                shown.add(span.toJson());
            }
            return flagged(mapping("spans", shown), false, truncated);
        }
    }

    /** An answer out of a context; empty, with null offsets, where the context does not answer. */
    record TextAnswer(String text, Integer start, Integer end, double score, boolean truncated) implements Answer {
        @Override
        public Map<String, Object> toJson() {
            Map<String, Object> found = mapping("text", text, "start", start, "end", end, "score", rounded(score));
            return flagged(found, false, truncated);
        }
    }

    /** A text as a vector. */
    record Embedding(float[] vector, boolean truncated) implements Answer {
        @Override
        public Map<String, Object> toJson() {
            double[] shown = new double[vector.length];
            for (int index = 0; index < shown.length; index++) {
                shown[index] = rounded(vector[index]);
            }
            return flagged(mapping("vector", shown), false, truncated);
        }
    }

    private static double rounded(double value) {
        return Math.abs(value) < 1e9 ? Math.rint(value * 1e6) / 1e6 : value;
    }

    private static Map<String, Object> flagged(Map<String, Object> found, boolean rejected, boolean truncated) {
        if (rejected) {
            found.put("rejected", true);
        }
        if (truncated) {
            found.put("truncated", true);
        }
        return found;
    }

    private static Map<String, Object> mapping(Object... pairs) {
        Map<String, Object> found = new LinkedHashMap<>();
        for (int index = 0; index < pairs.length; index += 2) {
            found.put((String) pairs[index], pairs[index + 1]);
        }
        return found;
    }
}
