package edgebert.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * One text, or a pair: a label, several labels, or a number.
 *
 * @param problem {@code single-label}, {@code multi-label} or {@code regression}
 * @param pair each record has a {@code text_pair} too
 * @param outOfScope the label of what is less likely than {@code threshold}, or null
 * @param temperature what logits are divided by
 * @param threshold least probability of an answer, or null where nothing is rejected
 * @param thresholds for several labels, the least probability of each; empty: 0.5
 */
public record TextClassification(
    String problem, boolean pair, String outOfScope, double temperature, Double threshold, double[] thresholds)
    implements Task {

    static TextClassification read(Settings settings) {
        String problem = settings.string("problem", "single-label");
        if (!Arrays.asList("single-label", "multi-label", "regression").contains(problem)) {
            throw EdgebertException.usage("problem: " + problem + " is not known", "update the app");
        }
        return new TextClassification(
            problem,
            settings.truth("pair", false),
            settings.string("out_of_scope", null),
            settings.number("temperature", 1.0),
            settings.number("threshold", null),
            settings.numbers("thresholds"));
    }

    @Override
    public List<String> roles() {
        return pair ? Arrays.asList("text", "text_pair") : Collections.singletonList("text");
    }

    @Override
    public List<String> outputs() {
        return Collections.singletonList("logits");
    }

    @Override
    public boolean perToken() {
        return false;
    }

    @Override
    public List<Encoding> encode(WordPiece tokenizer, Map<String, Object> record, int most) {
        String text = Json.string(record.get("text"), "text");
        return Collections.singletonList(pair
            ? tokenizer.encode(text, Json.string(record.get("text_pair"), "text_pair"), most)
            : tokenizer.encode(text, most));
    }

    @Override
    public Answer decode(
        Map<String, Object> record, List<Encoding> windows, List<Map<String, Tensor>> outputs, List<String> labels) {
        Tensor logits = outputs.get(0).get("logits");
        boolean truncated = windows.get(0).truncated();
        if (problem.equals("regression")) {
            return new Answer.Value(logits.at(0, 0), truncated);
        }
        if (problem.equals("multi-label")) {
            return labelSet(logits, labels, truncated);
        }
        int best = logits.best(0);
        double score = logits.share(0, best, temperature);
        if (threshold != null && score < threshold) {
            return new Answer.Prediction(outOfScope == null ? "" : outOfScope, score, truncated, true);
        }
        return new Answer.Prediction(labels.get(best), score, truncated, false);
    }

    private Answer labelSet(Tensor logits, List<String> labels, boolean truncated) {
        List<Integer> chosen = new ArrayList<>();
        double[] shares = new double[logits.columns()];
        for (int column = 0; column < shares.length; column++) {
            shares[column] = 0.5 * (1.0 + Math.tanh(0.5 * logits.at(0, column))); // the logistic function
            if (shares[column] >= limit(column)) {
                chosen.add(column);
            }
        }
        chosen.sort((a, b) -> Double.compare(shares[b], shares[a])); // stable: of equal ones the first stays first
        List<String> names = new ArrayList<>();
        List<Double> scores = new ArrayList<>();
        for (int column : chosen) {
            names.add(labels.get(column));
            scores.add(shares[column]);
        }
        return new Answer.LabelSet(names, scores, truncated);
    }

    @Override
    public Decisions decide(Map<String, Tensor> outputs) {
        Tensor logits = outputs.get("logits");
        if (!problem.equals("multi-label")) {
            return Decisions.byLargest(logits);
        }
        int[] chosen = new int[logits.columns()];
        double[] margins = new double[chosen.length];
        for (int column = 0; column < chosen.length; column++) {
            double distance = logits.at(0, column) - Math.log(limit(column) / (1.0 - limit(column)));
            chosen[column] = distance >= 0 ? 1 : 0;
            margins[column] = Math.abs(distance);
        }
        return new Decisions(chosen, margins);
    }

    private double limit(int column) {
        return thresholds.length == 0 ? 0.5 : thresholds[column];
    }
}
