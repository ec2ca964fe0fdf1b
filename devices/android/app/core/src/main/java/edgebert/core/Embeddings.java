package edgebert.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** A text as a vector, pooled and normalised inside the artifact: the settings only say how. */
public record Embeddings(String pooling, boolean normalize) implements Task {
    static Embeddings read(Settings settings) {
        String pooling = settings.string("pooling", "mean");
        if (!Arrays.asList("mean", "cls").contains(pooling)) {
            throw EdgebertException.usage("pooling: " + pooling + " is not known", "update the app");
        }
        return new Embeddings(pooling, settings.truth("normalize", true));
    }

    @Override
    public List<String> roles() {
        return Collections.singletonList("text");
    }

    @Override
    public List<String> outputs() {
        return Collections.singletonList("embedding");
    }

    @Override
    public boolean perToken() {
        return false;
    }

    /** One window; two for a record with a {@code text_pair} that it is compared with. */
    @Override
    public List<Encoding> encode(WordPiece tokenizer, Map<String, Object> record, int most) {
        List<Encoding> found = new ArrayList<>();
        found.add(tokenizer.encode(Json.string(record.get("text"), "text"), most));
        if (record.containsKey("text_pair")) {
            found.add(tokenizer.encode(Json.string(record.get("text_pair"), "text_pair"), most));
        }
        return found;
    }

    @Override
    public Answer decode(
        Map<String, Object> record, List<Encoding> windows, List<Map<String, Tensor>> outputs, List<String> labels) {
        return new Answer.Embedding(outputs.get(0).get("embedding").data(), windows.get(0).truncated());
    }

    /** Nothing: a vector is no decision. */
    @Override
    public Decisions decide(Map<String, Tensor> outputs) {
        return new Decisions(new int[0], new double[0]);
    }
}
