package edgebert.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** An artifact loaded into its engine: text in, answer out. Used by one thread at a time. */
public final class Model implements AutoCloseable {
    private final Artifact artifact;
    private final Engine engine;
    private final Task task;
    private final WordPiece tokenizer;

    private Model(Artifact artifact, Engine engine, Task task, WordPiece tokenizer) {
        this.artifact = artifact;
        this.engine = engine;
        this.task = task;
        this.tokenizer = tokenizer;
    }

    /** Reads all but the model, then hands that to the engine. Throws an ArtifactError or a UsageError. */
    public static Model load(Artifact artifact, Engine.Loader loader, int threads) {
        if (threads < 1) {
            throw EdgebertException.usage("threads must be at least 1, not " + threads, "give the number of threads");
        }
        Manifest manifest = artifact.manifest();
        Task task;
        try {
            task = Task.get(manifest.task(), manifest.taskSettings());
        } catch (Json.Malformed error) {
            throw EdgebertException.artifact("the manifest's task_settings: " + error.getMessage(), "export it again");
        }
        WordPiece tokenizer = WordPiece.read(artifact.text("tokenizer.json"));
        return new Model(artifact, loader.load(artifact, threads), task, tokenizer);
    }

    public Artifact artifact() {
        return artifact;
    }

    public Engine engine() {
        return engine;
    }

    public Task task() {
        return task;
    }

    public WordPiece tokenizer() {
        return tokenizer;
    }

    /** The answer to one question: the texts of the task's roles, in their order. Throws a DataError. */
    public Answer predict(String... texts) {
        List<String> roles = task.roles();
        if (texts.length != roles.size()) {
            throw EdgebertException.data(
                "the task reads " + String.join(" and ", roles), "give " + roles.size() + " text(s)");
        }
        Map<String, Object> record = new LinkedHashMap<>();
        for (int index = 0; index < texts.length; index++) {
            String where = texts.length == 1 ? "the text" : "the " + roles.get(index);
            record.put(roles.get(index), Text.check(texts[index], where));
        }
        return predict(record);
    }

    /** The answer to one record of the task's roles, unchecked. */
    public Answer predict(Map<String, Object> record) {
        List<Encoding> windows = encode(record);
        List<Map<String, Tensor>> outputs = new ArrayList<>();
        for (Encoding window : windows) {
            outputs.add(run(window));
        }
        return task.decode(record, windows, outputs, artifact.manifest().labels());
    }

    /** A record as windows of at most the model's longest input. */
    public List<Encoding> encode(Map<String, Object> record) {
        return task.encode(tokenizer, record, artifact.manifest().maxLength());
    }

    /** One window's outputs by name, without padding. */
    public Map<String, Tensor> run(Encoding window) {
        int used = window.length();
        int length = bucket(used);
        Map<String, float[]> found = engine.run(inputs(window, length), length);
        Map<String, Tensor> outputs = new LinkedHashMap<>();
        for (Manifest.Spec spec : artifact.manifest().outputs()) {
            float[] data = found.get(spec.name());
            if (spec.perToken()) {
                int columns = data.length / length;
                outputs.put(spec.name(), new Tensor(Arrays.copyOf(data, used * columns), used, columns));
            } else {
                outputs.put(spec.name(), new Tensor(data, 1, data.length));
            }
        }
        return outputs;
    }

    /** The engine alone, every position of one length used by a given piece. */
    public void run(int[] ids) {
        int[] words = new int[ids.length];
        engine.run(inputs(new Encoding(ids, new int[ids.length], words, words, words, false), ids.length), ids.length);
    }

    /** The shortest of the model's lengths that holds {@code used} tokens. */
    private int bucket(int used) {
        int[] lengths = artifact.manifest().lengths();
        if (lengths.length == 0) {
            return used;
        }
        for (int length : lengths) {
            if (length >= used) {
                return length;
            }
        }
        throw EdgebertException.data(
            "a window has " + used + " tokens, more than the model's longest input of " + lengths[lengths.length - 1],
            "give fewer tokens");
    }

    /** Each input that the model has, padded with 0. */
    private Map<String, int[]> inputs(Encoding window, int length) {
        Map<String, int[]> found = new LinkedHashMap<>();
        for (Manifest.Spec spec : artifact.manifest().inputs()) {
            int[] values = switch (spec.name()) {
                case "input_ids" -> window.ids();
                case "attention_mask" -> ones(window.length());
                default -> window.typeIds();
            };
            found.put(spec.name(), Arrays.copyOf(values, length));
        }
        return found;
    }

    private static int[] ones(int count) {
        int[] found = new int[count];
        Arrays.fill(found, 1);
        return found;
    }

    @Override
    public void close() {
        engine.close();
    }
}
