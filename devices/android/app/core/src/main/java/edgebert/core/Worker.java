package edgebert.core;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Supplier;

/**
 * Measures as {@code edgebert/worker.py} does, and writes the same events, one JSON line each, flushed when complete.
 * It judges nothing: metrics, intervals and verdicts are made on the host.
 */
public final class Worker {
    /** Records whose outputs go into one event. */
    private static final int CHUNK = 100;

    /** Latency samples that go into one event. */
    private static final int SAMPLES = 50;

    /** Takes one complete line and puts it where it will not be lost. */
    public interface Output {
        void line(String line) throws IOException;
    }

    private final Job job;
    private final List<Map<String, Object>> records;
    private final Output output;

    private Worker(Job job, List<Map<String, Object>> records, Output output) {
        this.job = job;
        this.records = records;
        this.output = output;
    }

    /**
     * The whole launch.
     *
     * @param coldStart milliseconds since the process began, asked after the first answer; may give null
     * @return the exit code: 0, or that of the error, which is the last event then
     */
    public static int run(
        Job job, Source source, Engine.Loader loader, List<Map<String, Object>> records, Supplier<Double> coldStart,
        Output output) {
        Worker worker = new Worker(job, records, output);
        try {
            worker.run(source, loader, coldStart);
            return 0;
        } catch (EdgebertException error) {
            return fail(error, output);
        }
    }

    /** Writes an error as the last event; returns its exit code. */
    public static int fail(EdgebertException error, Output output) {
        event(output, "error", "kind", error.kind.name(), "message", error.getMessage(), "hint", error.hint);
        return error.kind.exitCode;
    }

    private void run(Source source, Engine.Loader loader, Supplier<Double> coldStart) {
        if (records.isEmpty()) {
            throw EdgebertException.data("there are no records to measure with", "give at least one");
        }
        long start = System.nanoTime();
        try (Model model = Model.load(Artifact.open(source), loader, job.threads())) {
            double loaded = (System.nanoTime() - start) / 1e6;
            model.predict(records.get(0));
            event(
                output, "loaded", "artifact_id", model.artifact().id(), "engine", model.engine().name(), "settings",
                model.engine().settings(), "load_ms", loaded, "cold_start_ms", coldStart.get(), "python", null, "java",
                System.getProperty("java.vm.version"));
            if (job.golden()) {
                golden(model);
            }
            if (job.samples() > 0) {
                latency(model);
            }
            // Peak memory of serving real texts: read before the fixed-length runs, which may be longer than any text.
            event(output, "memory", "peak_rss_bytes", Measure.peakRssBytes());
            for (int length : job.lengths()) {
                engine(model, length);
            }
            if (job.predict()) {
                predict(model);
            }
        }
        event(output, "done");
    }

    private void golden(Model model) {
        Golden.Check found = Golden.check(model);
        event(output, "golden", "ok", found.ok(), "max_error", found.maxError(), "tolerance", found.tolerance());
        if (!found.ok()) {
            throw EdgebertException.artifact(
                model.artifact().manifest().name() + " answers otherwise here than where it was made: "
                    + found.details(),
                model.engine().name() + " computes it wrongly: use another engine version or precision");
        }
    }

    /** Text in, answer out, batch 1, on real records drawn at random. */
    private void latency(Model model) {
        Random draw = new Random(job.seed());
        List<Map<String, Object>> chosen = new ArrayList<>();
        for (int index = 0; index < job.samples(); index++) {
            chosen.add(records.get(draw.nextInt(records.size())));
        }
        int warm = Measure.warmUp(number -> model.predict(chosen.get(number % chosen.size())), 3.0);
        double[] samples = new double[chosen.size()];
        int sent = 0;
        for (int index = 0; index < samples.length; index++) {
            Map<String, Object> record = chosen.get(index);
            samples[index] = Measure.timed(() -> model.predict(record));
            if (index + 1 - sent == SAMPLES || index + 1 == samples.length) {
                event(output, "latency", "ms", Arrays.copyOfRange(samples, sent, index + 1));
                sent = index + 1;
            }
        }
        event(output, "warm", "calls", warm, "load_average", Measure.loadAverage());
    }

    /** The engine alone at one sequence length, every position used. */
    private void engine(Model model, int length) {
        Random draw = new Random(length);
        int[] ids = draw.ints(length, 1, Math.max(2, model.tokenizer().size())).toArray();
        Measure.warmUp(number -> model.run(ids), 1.0);
        double[] samples = new double[job.engineSamples()];
        for (int index = 0; index < samples.length; index++) {
            samples[index] = Measure.timed(() -> model.run(ids));
        }
        event(output, "engine", "length", length, "ms", samples);
    }

    /** The raw outputs for every record, in chunks; the layout is that of {@code edgebert/worker.py}. */
    private void predict(Model model) {
        for (int first = 0; first < records.size(); first += CHUNK) {
            List<Integer> counts = new ArrayList<>();
            List<Map<String, Tensor>> found = new ArrayList<>();
            for (Map<String, Object> record : records.subList(first, Math.min(first + CHUNK, records.size()))) {
                List<Encoding> windows = model.encode(record);
                counts.add(windows.size());
                windows.forEach(window -> found.add(model.run(window)));
            }
            List<Integer> rows = new ArrayList<>();
            found.forEach(window -> rows.add(window.values().iterator().next().rows()));
            Map<String, Object> tensors = new LinkedHashMap<>();
            for (Manifest.Spec spec : model.artifact().manifest().outputs()) {
                tensors.put(spec.name(), packed(found, spec));
            }
            event(output, "outputs", "first", first, "windows", counts, "rows", rows, "tensors", tensors);
        }
    }

    /** One output of all windows, joined along the first axis. */
    private static Map<String, Object> packed(List<Map<String, Tensor>> windows, Manifest.Spec spec) {
        int rows = 0;
        int columns = 0;
        for (Map<String, Tensor> window : windows) {
            rows += window.get(spec.name()).rows();
            columns = window.get(spec.name()).columns();
        }
        ByteBuffer bytes = ByteBuffer.allocate(rows * columns * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (Map<String, Tensor> window : windows) {
            for (float value : window.get(spec.name()).data()) {
                bytes.putFloat(value);
            }
        }
        Map<String, Object> found = new LinkedHashMap<>();
        boolean flat = spec.shape().length == 2 && spec.perToken(); // one number a token
        found.put("shape", flat ? new int[] {rows} : new int[] {rows, columns});
        found.put("data", Base64.getEncoder().encodeToString(bytes.array()));
        return found;
    }

    private static void event(Output output, String name, Object... facts) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("event", name);
        for (int index = 0; index < facts.length; index += 2) {
            line.put((String) facts[index], facts[index + 1]);
        }
        try {
            output.line(JsonWriter.write(line));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
