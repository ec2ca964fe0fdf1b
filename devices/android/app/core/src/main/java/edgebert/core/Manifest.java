package edgebert.core;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What {@code manifest.json} says, as far as running the model needs it; field by field in {@code docs/artifact.md}.
 *
 * @param lengths the only sequence lengths that the model takes, ascending; empty when any length goes
 * @param files of the artifact, without the manifest
 */
public record Manifest(
    String task,
    Map<String, Object> taskSettings,
    List<String> labels,
    String format,
    String precision,
    List<String> modelFiles,
    List<Spec> inputs,
    List<Spec> outputs,
    int maxLength,
    int[] lengths,
    Map<String, File> files) {

    /** The format version that this reads; the one before it too, which had no task settings. */
    public static final int VERSION = 2;

    public static final String NAME = "manifest.json";

    /** A model's input or output; {@code shape} has -1 for an axis of any length. */
    public record Spec(String name, String dtype, int[] shape) {
        /** Of an output: whether it has a row for each token. */
        public boolean perToken() {
            return shape.length > 1 && shape[1] == -1;
        }
    }

    /** A file's SHA-256, in hex, and its size. */
    public record File(String sha256, long bytes) {}

    /** Format and precision, {@code tflite-int8}. */
    public String name() {
        return format + "-" + precision;
    }

    /** Read from the file's content, after its version and its own checksum. Throws an ArtifactError. */
    static Manifest read(String json, String where) {
        try {
            return checked(Json.object(Json.parse(json), NAME), where);
        } catch (Json.Malformed error) {
            throw EdgebertException.artifact(
                where + ": its manifest.json is damaged (" + error.getMessage() + ")", "copy or export it again");
        }
    }

    private static Manifest checked(Map<String, Object> body, String where) {
        int version = Json.number(body.get("format_version"), "format_version").intValue();
        if (version != VERSION && version != VERSION - 1) {
            throw EdgebertException.artifact(
                where + " has artifact format version " + version + "; this app reads versions " + (VERSION - 1)
                    + " and " + VERSION,
                "export it again with the edgebert that belongs to this app, or update the app");
        }
        Map<String, Object> said = new LinkedHashMap<>(body);
        String checksum = Json.string(said.remove("checksum"), "checksum");
        if (!checksum.equals(Artifact.sha256(JsonWriter.canonical(said).getBytes(StandardCharsets.US_ASCII)))) {
            throw new Json.Malformed("its checksum does not match");
        }
        Object settings = body.get("task_settings");
        Manifest found = new Manifest(
            Json.string(body.get("task"), "task"),
            settings == null ? Collections.emptyMap() : Json.object(settings, "task_settings"),
            Json.strings(body.get("labels"), "labels"),
            Json.string(body.get("format"), "format"),
            Json.string(body.get("precision"), "precision"),
            Json.strings(body.get("model_files"), "model_files"),
            specs(body.get("inputs"), "inputs"),
            specs(body.get("outputs"), "outputs"),
            Json.number(body.get("max_length"), "max_length").intValue(),
            Json.integers(body.get("lengths"), "lengths"),
            files(body.get("files")));
        if (found.modelFiles.isEmpty() || !found.files.keySet().containsAll(found.modelFiles)) {
            throw new Json.Malformed("model_files is empty, or names a file that is not listed");
        }
        return found;
    }

    private static List<Spec> specs(Object value, String what) {
        List<Spec> found = new ArrayList<>();
        for (Object item : Json.list(value, what)) {
            Map<String, Object> spec = Json.object(item, "an item of " + what);
            found.add(new Spec(
                Json.string(spec.get("name"), "name"),
                Json.string(spec.get("dtype"), "dtype"),
                Json.integers(spec.get("shape"), "shape")));
        }
        return found;
    }

    private static Map<String, File> files(Object value) {
        Map<String, File> found = new LinkedHashMap<>();
        Json.object(value, "files").forEach((name, item) -> {
            Map<String, Object> entry = Json.object(item, name);
            found.put(name, new File(
                Json.string(entry.get("sha256"), "sha256"), Json.number(entry.get("bytes"), "bytes").longValue()));
        });
        return found;
    }
}
