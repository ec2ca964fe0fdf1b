package edgebert.core;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Lets tests in Python ask this core: one JSON object a line on standard input, one answer a line on standard output.
 * Where a model must run, the line {@code {"run": …}} asks the test for it, which has a real engine.
 */
public final class Driver {
    private final BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    private final PrintStream out;
    private final Map<String, WordPiece> tokenizers = new HashMap<>();

    private Driver(PrintStream out) {
        this.out = out;
    }

    public static void main(String[] arguments) throws IOException {
        Driver driver = new Driver(new PrintStream(System.out, false, "US-ASCII"));
        for (String line = driver.in.readLine(); line != null; line = driver.in.readLine()) {
            Map<String, Object> asked = Json.object(Json.parse(line), "the line");
            try {
                driver.say(driver.answer(asked));
            } catch (EdgebertException error) {
                driver.say(mapping("error", error.kind.name(), "message", error.getMessage(), "hint", error.hint));
            }
        }
    }

    private void say(Object answer) {
        out.println(JsonWriter.write(answer));
        out.flush();
    }

    private Object answer(Map<String, Object> asked) throws IOException {
        String verb = Json.string(asked.get("ask"), "ask");
        return switch (verb) {
            case "encode" -> encode(asked);
            case "digest" -> digest(asked);
            case "letters" -> letters(asked);
            case "windows" -> windows(asked);
            case "decode" -> decode(asked);
            case "check" -> mapping("text", Text.check(asked.get("text"), "the text"));
            case "whole" -> whole(asked);
            case "slice" -> slice(asked);
            case "json" -> mapping("canonical", JsonWriter.canonical(json(string(asked, "text"))));
            case "percentiles" -> Statistics.percentiles(doubles(asked.get("samples")));
            case "open" -> mapping("id", artifact(asked).id(), "name", artifact(asked).manifest().name());
            case "predict" -> predict(asked);
            case "work" -> work(asked);
            default -> throw new IllegalArgumentException(verb);
        };
    }

    private static Object json(String text) {
        try {
            return Json.parse(text);
        } catch (Json.Malformed error) {
            throw EdgebertException.data(error.getMessage(), "");
        }
    }

    private WordPiece tokenizer(Map<String, Object> asked) throws IOException {
        String path = string(asked, "tokenizer");
        if (!tokenizers.containsKey(path)) {
            byte[] bytes = Files.readAllBytes(Paths.get(path));
            tokenizers.put(path, WordPiece.read(new String(bytes, StandardCharsets.UTF_8)));
        }
        return tokenizers.get(path);
    }

    private Encoding encoded(Map<String, Object> asked) throws IOException {
        String text = string(asked, "text");
        int most = asked.get("most") == null ? Integer.MAX_VALUE : Json.number(asked.get("most"), "most").intValue();
        return asked.get("pair") == null
            ? tokenizer(asked).encode(text, most)
            : tokenizer(asked).encode(text, string(asked, "pair"), most);
    }

    private Object encode(Map<String, Object> asked) throws IOException {
        return shown(encoded(asked));
    }

    private static Map<String, Object> shown(Encoding found) {
        return mapping(
            "ids", found.ids(), "types", found.typeIds(), "starts", found.starts(), "ends", found.ends(), "words",
            found.words(), "truncated", found.truncated());
    }

    /** SHA-256 over ids, starts, ends and words as big-endian int32: for texts whose tokens are too many to send. */
    private Object digest(Map<String, Object> asked) throws IOException {
        Encoding found = encoded(asked);
        ByteBuffer bytes = ByteBuffer.allocate(16 * found.length());
        for (int[] column : new int[][] {found.ids(), found.starts(), found.ends(), found.words()}) {
            for (int item : column) {
                bytes.putInt(item);
            }
        }
        return mapping("sha256", Artifact.sha256(bytes.array()));
    }

    private Object letters(Map<String, Object> asked) {
        UnicodeTables tables = UnicodeTables.get();
        int letter = Json.number(asked.get("letter"), "letter").intValue();
        return mapping("strip", tables.strip(letter), "lower", tables.lower(letter));
    }

    private static Task task(Map<String, Object> asked) {
        return Task.get(string(asked, "task"), Json.object(asked.get("settings"), "settings"));
    }

    private List<Encoding> windowsOf(Map<String, Object> asked) throws IOException {
        Map<String, Object> record = Json.object(asked.get("record"), "record");
        return task(asked).encode(tokenizer(asked), record, Json.number(asked.get("most"), "most").intValue());
    }

    private Object windows(Map<String, Object> asked) throws IOException {
        List<Object> found = new ArrayList<>();
        for (Encoding window : windowsOf(asked)) {
            found.add(shown(window));
        }
        return mapping("windows", found);
    }

    private Object decode(Map<String, Object> asked) throws IOException {
        List<Map<String, Tensor>> outputs = new ArrayList<>();
        for (Object window : Json.list(asked.get("outputs"), "outputs")) {
            Map<String, Tensor> found = new LinkedHashMap<>();
            Json.object(window, "a window").forEach((name, item) -> {
                Map<String, Object> tensor = Json.object(item, "a tensor");
                int rows = Json.number(tensor.get("rows"), "rows").intValue();
                float[] data = floats(tensor.get("data"));
                found.put(name, new Tensor(data, rows, data.length / rows));
            });
            outputs.add(found);
        }
        Task.Decisions decided = task(asked).decide(outputs.get(0));
        Answer answer = task(asked).decode(
            Json.object(asked.get("record"), "record"), windowsOf(asked), outputs,
            Json.strings(asked.get("labels"), "labels"));
        return mapping("answer", answer.toJson(), "chosen", decided.chosen(), "margins", decided.margins());
    }

    private static Object whole(Map<String, Object> asked) {
        int end = Json.number(asked.get("end"), "end").intValue();
        return mapping("end", Windows.whole(new Text(string(asked, "text")), end));
    }

    /** The characters between two offsets, once by code points and once by the UTF-16 indexes of the same places. */
    private static Object slice(Map<String, Object> asked) {
        Text text = new Text(string(asked, "text"));
        int start = Json.number(asked.get("start"), "start").intValue();
        int end = Json.number(asked.get("end"), "end").intValue();
        String units = text.toString().substring(text.utf16(start), text.utf16(end));
        return mapping("characters", text.slice(start, end), "units", units);
    }

    private static Artifact artifact(Map<String, Object> asked) {
        return Artifact.open(new FolderSource(Paths.get(string(asked, "artifact"))));
    }

    private Object predict(Map<String, Object> asked) {
        try (Model model = Model.load(artifact(asked), AskedEngine::new, 1)) {
            List<Object> answers = new ArrayList<>();
            for (Object texts : Json.list(asked.get("texts"), "texts")) {
                answers.add(model.predict(Json.strings(texts, "texts").toArray(new String[0])).toJson());
            }
            Golden.Check golden = Golden.check(model);
            return mapping(
                "answers", answers, "golden", golden.ok(), "max_error", golden.maxError(), "details", golden.details());
        }
    }

    private Object work(Map<String, Object> asked) throws IOException {
        Worker.Output output = line -> say(mapping("line", line));
        int exit;
        try {
            Job job = Job.read(string(asked, "job"));
            List<Map<String, Object>> records = new ArrayList<>();
            for (String line : Files.readAllLines(Paths.get(job.records()), StandardCharsets.UTF_8)) {
                records.add(Json.object(Json.parse(line), "a record"));
            }
            Source source = new FolderSource(Paths.get(job.artifact()));
            exit = Worker.run(job, source, AskedEngine::new, records, () -> 1.5, output);
        } catch (EdgebertException error) {
            exit = Worker.fail(error, output);
        }
        return mapping("exit", exit);
    }

    /** An engine at the other end of the pipe. */
    private final class AskedEngine implements Engine {
        private final int threads;

        AskedEngine(Artifact artifact, int threads) {
            this.threads = threads;
            artifact.model(); // verified, as any engine would have it
        }

        @Override
        public String name() {
            return "asked";
        }

        @Override
        public Map<String, Object> settings() {
            return Collections.singletonMap("threads", threads);
        }

        @Override
        public Map<String, float[]> run(Map<String, int[]> inputs, int length) {
            say(mapping("run", inputs, "length", length));
            try {
                Map<String, float[]> found = new LinkedHashMap<>();
                Map<String, Object> outputs = Json.object(Json.parse(in.readLine()), "outputs");
                outputs.forEach((name, data) -> found.put(name, floats(data)));
                return found;
            } catch (IOException error) {
                throw new IllegalStateException(error);
            }
        }

        @Override
        public void close() {}
    }

    private static String string(Map<String, Object> asked, String name) {
        return Json.string(asked.get(name), name);
    }

    private static double[] doubles(Object value) {
        return Json.list(value, "numbers").stream().mapToDouble(item -> ((Number) item).doubleValue()).toArray();
    }

    private static float[] floats(Object value) {
        double[] wide = doubles(value);
        float[] found = new float[wide.length];
        for (int index = 0; index < found.length; index++) {
            found[index] = (float) wide[index];
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
