package edgebert.app;

import android.content.Context;
import android.os.Build;
import android.os.PowerManager;
import edgebert.core.Artifact;
import edgebert.core.EdgebertException;
import edgebert.core.EdgebertException.Kind;
import edgebert.core.FolderSource;
import edgebert.core.Golden;
import edgebert.core.Job;
import edgebert.core.Json;
import edgebert.core.JsonWriter;
import edgebert.core.Source;
import edgebert.core.Worker;
import java.io.BufferedReader;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

/**
 * One launch for the host: {@code am start … --es bench JOB --es output OUTPUT} is here what
 * {@code python -m edgebert.worker JOB OUTPUT} is elsewhere. All names are below the app's own files folder; an empty
 * {@code artifact} is the one among the assets, empty {@code records} are the assets' or else the golden texts.
 */
final class Bench {
    private static final String RECORDS = "records.jsonl";

    private final Context context;
    private final Path folder;

    Bench(Context context) {
        File files = context.getExternalFilesDir(null);
        this.context = context;
        this.folder = (files == null ? context.getFilesDir() : files).toPath();
    }

    /** Runs the job; returns the exit code. Throws IOException when the output cannot be written. */
    int run(String jobName, String outputName, Supplier<Double> coldStart) throws IOException {
        Path output = inside(outputName == null ? jobName + ".out" : outputName);
        try (FileOutputStream file = new FileOutputStream(output.toFile())) {
            Worker.Output lines = line -> {
                file.write((line + "\n").getBytes(StandardCharsets.US_ASCII));
                file.getFD().sync(); // what was measured survives whatever ends the app
            };
            lines.line(JsonWriter.write(device()));
            try {
                Job job = Job.read(new String(Files.readAllBytes(inside(jobName)), StandardCharsets.UTF_8));
                Source source = source(job);
                return Worker.run(job, source, LiteRtEngine::new, records(job, source), coldStart, lines);
            } catch (EdgebertException error) {
                return Worker.fail(error, lines);
            } catch (IOException | RuntimeException error) {
                String message = "the job failed: " + error;
                return Worker.fail(
                    new EdgebertException(Kind.DeviceError, message, "see adb logcat", error), lines);
            }
        }
    }

    private Source source(Job job) {
        return job.artifact().isEmpty()
            ? new AssetSource(context.getAssets(), MainActivity.ARTIFACT)
            : new FolderSource(inside(job.artifact()));
    }

    private List<Map<String, Object>> records(Job job, Source source) throws IOException {
        if (!job.records().isEmpty()) {
            try (InputStream stream = Files.newInputStream(inside(job.records()))) {
                return records(stream);
            }
        }
        if (Arrays.asList(context.getAssets().list("")).contains(RECORDS)) {
            try (InputStream stream = context.getAssets().open(RECORDS)) {
                return records(stream);
            }
        }
        return Golden.records(Artifact.open(source));
    }

    private static List<Map<String, Object>> records(InputStream stream) throws IOException {
        List<Map<String, Object>> found = new ArrayList<>();
        BufferedReader reader = new BufferedReader(new InputStreamReader(stream, StandardCharsets.UTF_8));
        for (String line = reader.readLine(); line != null; line = reader.readLine()) {
            try {
                found.add(Json.object(Json.parse(line), "the line"));
            } catch (Json.Malformed error) {
                String message = "record " + (found.size() + 1) + ": " + error.getMessage();
                throw new EdgebertException(Kind.DataError, message, "give one JSON object a line");
            }
        }
        return found;
    }

    /** A path below the app's files folder. */
    private Path inside(String name) {
        Path path = folder.resolve(name).normalize();
        if (!path.startsWith(folder) || path.equals(folder)) {
            throw new EdgebertException(
                Kind.UsageError, name + " is not below the app's files folder", "give a name relative to " + folder);
        }
        return path;
    }

    /** What the figures were taken on; {@code thermal_status} is 0 where nothing is throttled (Android 10). */
    private Map<String, Object> device() {
        Map<String, Object> found = new LinkedHashMap<>();
        found.put("event", "device");
        found.put("manufacturer", Build.MANUFACTURER);
        found.put("model", Build.MODEL);
        found.put("soc", Build.VERSION.SDK_INT >= 31 ? Build.SOC_MANUFACTURER + " " + Build.SOC_MODEL : null);
        found.put("android", Build.VERSION.RELEASE);
        found.put("abis", Build.SUPPORTED_ABIS);
        found.put("cores", Runtime.getRuntime().availableProcessors());
        PowerManager power = context.getSystemService(PowerManager.class);
        found.put("thermal_status", Build.VERSION.SDK_INT >= 29 ? power.getCurrentThermalStatus() : null);
        return found;
    }
}
