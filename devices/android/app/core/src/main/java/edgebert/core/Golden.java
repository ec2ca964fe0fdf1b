package edgebert.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * The golden answers of an artifact, asked again on this device, by the rule that {@code golden.json} states: token
 * ids equal, outputs within the tolerance, the same decision wherever its margin is larger.
 */
public final class Golden {
    /** What came of it: {@code details} says what was wrong, and is empty when nothing was. */
    public record Check(boolean ok, double maxError, double tolerance, String details) {}

    private final Model model;
    private final double tolerance;
    private double worst;
    private int decided;
    private int flips;

    private Golden(Model model, double tolerance) {
        this.model = model;
        this.tolerance = tolerance;
    }

    /** The records of the golden answers. */
    public static List<Map<String, Object>> records(Artifact artifact) {
        List<Map<String, Object>> found = new ArrayList<>();
        for (Object item : Json.list(artifact.golden().get("texts"), "texts")) {
            found.add(item instanceof String ? Collections.singletonMap("text", item) : Json.object(item, "a text"));
        }
        return found;
    }

    /** Asks all of them. Throws an ArtifactError when {@code golden.json} is malformed. */
    public static Check check(Model model) {
        try {
            Map<String, Object> golden = model.artifact().golden();
            double tolerance = Json.number(golden.get("tolerance"), "tolerance").doubleValue();
            return new Golden(model, tolerance).compare(golden, records(model.artifact()));
        } catch (Json.Malformed | IndexOutOfBoundsException error) {
            throw EdgebertException.artifact(
                "golden.json is malformed: " + error.getMessage(), "copy or export the artifact again");
        }
    }

    private Check compare(Map<String, Object> golden, List<Map<String, Object>> records) {
        List<Object> ids = Json.list(golden.get("input_ids"), "input_ids");
        Map<String, Object> expected = Json.object(golden.get("outputs"), "outputs");
        List<Encoding> windows = new ArrayList<>();
        for (Map<String, Object> record : records) {
            windows.addAll(model.encode(record));
        }
        for (int number = 0; number < Math.max(windows.size(), ids.size()); number++) {
            boolean same = number < Math.min(windows.size(), ids.size())
                && Arrays.equals(windows.get(number).ids(), Json.integers(ids.get(number), "input_ids"));
            if (!same) {
                return failed("text " + number + " has other token ids");
            }
        }
        for (int number = 0; number < windows.size(); number++) {
            Map<String, Tensor> here = model.run(windows.get(number));
            Map<String, Tensor> there = new LinkedHashMap<>();
            for (String name : model.task().outputs()) {
                Object rows = Json.list(expected.get(name), name).get(number);
                there.put(name, tensor(Json.list(rows, name), model.task().perToken()));
                String wrong = difference(name, there.get(name), here.get(name));
                if (wrong != null) {
                    return failed(wrong);
                }
            }
            count(model.task().decide(there), model.task().decide(here));
        }
        List<String> wrong = new ArrayList<>();
        if (worst > tolerance) {
            wrong.add(String.format(
                Locale.ROOT, "outputs are off by %.3g where %.3g is allowed", worst, tolerance));
        }
        if (flips > 0) {
            wrong.add(flips + " of " + decided + " clear answers changed");
        }
        return new Check(wrong.isEmpty(), worst, tolerance, String.join("; ", wrong));
    }

    private Check failed(String details) {
        return new Check(false, Double.POSITIVE_INFINITY, tolerance, details);
    }

    /** What is wrong with the shape of an output; null when it can be compared, and was. */
    private String difference(String name, Tensor there, Tensor here) {
        if (here == null || here.rows() != there.rows() || here.columns() != there.columns()) {
            return name + " is misshapen";
        }
        for (int index = 0; index < here.data().length; index++) {
            if (Float.isNaN(here.data()[index]) || Float.isInfinite(here.data()[index])) {
                return name + " is not finite";
            }
            worst = Math.max(worst, Math.abs((double) here.data()[index] - there.data()[index]));
        }
        return null;
    }

    private void count(Task.Decisions there, Task.Decisions here) {
        for (int index = 0; index < there.chosen().length; index++) {
            if (there.margins()[index] > tolerance) {
                decided++;
                flips += there.chosen()[index] == here.chosen()[index] ? 0 : 1;
            }
        }
    }

    /** [outputs], or with a row for each token [tokens] or [tokens, outputs]. */
    private static Tensor tensor(List<Object> rows, boolean perToken) {
        int columns = !perToken ? rows.size()
            : rows.isEmpty() || !(rows.get(0) instanceof List) ? 1 : Json.list(rows.get(0), "a row").size();
        List<Object> items = new ArrayList<>();
        for (Object row : rows) {
            items.addAll(row instanceof List ? Json.list(row, "a row") : Collections.singletonList(row));
        }
        float[] data = new float[items.size()];
        for (int index = 0; index < data.length; index++) {
            data[index] = Json.number(items.get(index), "an output").floatValue();
        }
        return new Tensor(data, perToken ? rows.size() : 1, columns);
    }
}
