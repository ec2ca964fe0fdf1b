package edgebert.core;

import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * The answer is a span of the context, or that there is none (Devlin et al. 2019, sections 4.2 and 4.3).
 *
 * @param stride tokens that neighbouring windows share; null: a quarter of a window
 * @param maxAnswerTokens the longest answer
 * @param noAnswer the context may not hold the answer; the model then points at its first token
 * @param noAnswerThreshold how much more than the best span "no answer" must score
 */
public record QuestionAnswering(Integer stride, int maxAnswerTokens, boolean noAnswer, double noAnswerThreshold)
    implements Task {

    /** The best span of all windows: its characters, probability, "no answer"'s probability and its lead. */
    private record Best(int start, int end, double score, double none, double margin) {}

    @Override
    public List<String> roles() {
        return Arrays.asList("question", "context");
    }

    @Override
    public List<String> outputs() {
        return Arrays.asList("start_logits", "end_logits");
    }

    @Override
    public boolean perToken() {
        return true;
    }

    @Override
    public List<Encoding> encode(WordPiece tokenizer, Map<String, Object> record, int most) {
        int[] question = tokenizer.pieces(new Text(Json.string(record.get("question"), "question"))).ids();
        Encoding context = tokenizer.pieces(new Text(Json.string(record.get("context"), "context")));
        return Windows.over(tokenizer, context, most, stride, question);
    }

    @Override
    public Answer decode(
        Map<String, Object> record, List<Encoding> windows, List<Map<String, Tensor>> outputs, List<String> labels) {
        Best best = best(windows, outputs);
        boolean truncated = windows.stream().anyMatch(Encoding::truncated);
        if (best == null || noAnswer && best.margin > noAnswerThreshold) {
            return new Answer.TextAnswer("", null, null, best == null ? 1.0 : best.none, truncated);
        }
        Text text = new Text(Json.string(record.get("context"), "context"));
        int end = Windows.whole(text, best.end);
        return new Answer.TextAnswer(text.slice(best.start, end), best.start, end, best.score, truncated);
    }

    /** The likeliest first and last token. */
    @Override
    public Decisions decide(Map<String, Tensor> outputs) {
        int[] chosen = new int[2];
        double[] margins = new double[2];
        for (int side = 0; side < 2; side++) {
            float[] data = outputs.get(outputs().get(side)).data();
            Decisions found = Decisions.byLargest(new Tensor(data, 1, data.length));
            chosen[side] = found.chosen()[0];
            margins[side] = found.margins()[0];
        }
        return new Decisions(chosen, margins);
    }

    /** The best allowed span of all windows, of equal ones the shorter, then the earlier; null where there is none. */
    private Best best(List<Encoding> windows, List<Map<String, Tensor>> outputs) {
        double none = Double.POSITIVE_INFINITY;
        double top = Double.NEGATIVE_INFINITY;
        int begin = -1;
        int stop = -1;
        for (int number = 0; number < windows.size(); number++) {
            Encoding window = windows.get(number);
            float[] starts = outputs.get(number).get("start_logits").data();
            float[] ends = outputs.get(number).get("end_logits").data();
            none = Math.min(none, (double) starts[0] + ends[0]);
            int[] body = window.body();
            for (int extra = 0; extra < Math.min(maxAnswerTokens, body[1] - body[0]); extra++) {
                for (int token = body[0]; token + extra < body[1]; token++) {
                    double score = (double) starts[token] + ends[token + extra];
                    if (score > top) {
                        top = score;
                        begin = window.starts()[token];
                        stop = window.ends()[token + extra];
                    }
                }
            }
        }
        if (begin < 0) {
            return null;
        }
        double peak = noAnswer ? Math.max(top, none) : top;
        double total = total(windows, outputs, peak) + (noAnswer ? Math.exp(none - peak) : 0.0);
        return new Best(begin, stop, Math.exp(top - peak) / total, Math.exp(none - peak) / total, none - top);
    }

    /** The sum of exp(score - peak) over all allowed spans. */
    private double total(List<Encoding> windows, List<Map<String, Tensor>> outputs, double peak) {
        double total = 0;
        for (int number = 0; number < windows.size(); number++) {
            int[] body = windows.get(number).body();
            float[] starts = outputs.get(number).get("start_logits").data();
            float[] ends = outputs.get(number).get("end_logits").data();
            for (int token = body[0]; token < body[1]; token++) {
                for (int last = token; last < Math.min(body[1], token + maxAnswerTokens); last++) {
                    total += Math.exp((double) starts[token] + ends[last] - peak);
                }
            }
        }
        return total;
    }
}
