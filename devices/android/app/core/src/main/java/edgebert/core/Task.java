package edgebert.core;

import java.util.List;
import java.util.Map;

/** What a model is for: how records become windows, and outputs answers. Its settings are those of the manifest. */
public interface Task {
    /** The roles that a model reads of a record, such as {@code text}. */
    List<String> roles();

    /** The names of the model's outputs. */
    List<String> outputs();

    /** The outputs have a row for each token. */
    boolean perToken();

    /** A record as windows of at most {@code most} tokens. Its values are strings, or strings in a list (tokens). */
    List<Encoding> encode(WordPiece tokenizer, Map<String, Object> record, int most);

    /** The answer to a record; {@code outputs} of each window by name. */
    Answer decode(
        Map<String, Object> record, List<Encoding> windows, List<Map<String, Tensor>> outputs, List<String> labels);

    /** What one window's outputs decide. */
    Decisions decide(Map<String, Tensor> outputs);

    /**
     * What a window's outputs decide, and how narrowly.
     *
     * @param chosen such as the largest output's number
     * @param margins how much an output may move before it is another
     */
    record Decisions(int[] chosen, double[] margins) {
        /** By the largest output of each row. */
        static Decisions byLargest(Tensor tensor) {
            int[] chosen = new int[tensor.rows()];
            double[] margins = new double[tensor.rows()];
            for (int row = 0; row < chosen.length; row++) {
                chosen[row] = tensor.best(row);
                margins[row] = Double.POSITIVE_INFINITY;
                for (int column = 0; column < tensor.columns(); column++) {
                    if (column != chosen[row]) {
                        double margin = (double) tensor.at(row, chosen[row]) - tensor.at(row, column);
                        margins[row] = Math.min(margins[row], margin);
                    }
                }
            }
            return new Decisions(chosen, margins);
        }
    }

    /** The task of that name. Throws a UsageError for what is not known. */
    static Task get(String name, Map<String, Object> settings) {
        Settings read = new Settings(name, settings);
        Task task = switch (name) {
            case "text-classification" -> TextClassification.read(read);
            case "token-classification" -> new TokenClassification(
                read.integer("stride", null), read.number("outside_bias", 0.0));
            case "question-answering" -> new QuestionAnswering(
                read.integer("stride", null),
                read.integer("max_answer_tokens", 30),
                read.truth("no_answer", false),
                read.number("no_answer_threshold", 0.0));
            case "embeddings" -> Embeddings.read(read);
            default -> throw EdgebertException.usage(
                "the task " + name + " is not known", "update the app to one that knows it");
        };
        read.finish();
        return task;
    }
}
