package edgebert.core;

import java.util.Map;

/**
 * One launch of one artifact: the job file that the host writes for {@code edgebert.worker}.
 *
 * @param artifact where the artifact is, by the host's word
 * @param records a JSON-lines file of records
 * @param threads of the engine
 * @param golden run the golden answers first, and refuse an engine that computes something else
 * @param predict answer all records and send the outputs
 * @param samples latency samples (text in, answer out); 0 for none
 * @param lengths sequence lengths at which the engine alone is timed
 * @param engineSamples at each of them
 * @param seed another for each launch, so that launches see other records
 */
public record Job(
    String artifact, String records, int threads, boolean golden, boolean predict, int samples, int[] lengths,
    int engineSamples, long seed) {

    /** Read from a job file; what it leaves out has the host's default. Throws a UsageError. */
    public static Job read(String json) {
        try {
            Map<String, Object> fields = Json.object(Json.parse(json), "the job");
            Settings read = new Settings("a job for this app", fields);
            Job job = new Job(
                read.string("artifact", ""),
                read.string("records", ""),
                read.integer("threads", 1),
                read.truth("golden", true),
                read.truth("predict", false),
                read.integer("samples", 0),
                read.integers("lengths"),
                read.integer("engine_samples", 50),
                read.integer("seed", 0));
            read.forget(Job::asksNothing); // fields that a later host added, and does not use
            read.finish();
            return job;
        } catch (Json.Malformed error) {
            throw EdgebertException.usage("the job file: " + error.getMessage(), "have edgebert write it");
        }
    }

    private static boolean asksNothing(Object value) {
        String written = String.valueOf(value);
        return value == null || Boolean.FALSE.equals(value) || written.isEmpty() || written.equals("[]")
            || written.equals("0") || written.equals("0.0");
    }
}
