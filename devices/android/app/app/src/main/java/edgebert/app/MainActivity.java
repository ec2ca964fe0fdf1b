package edgebert.app;

import android.app.Activity;
import android.content.Intent;
import android.os.Bundle;
import android.os.Process;
import android.os.SystemClock;
import android.view.View;
import android.view.WindowManager;
import android.widget.Button;
import android.widget.EditText;
import android.widget.TextView;
import edgebert.core.Answer;
import edgebert.core.Artifact;
import edgebert.core.EdgebertException;
import edgebert.core.Golden;
import edgebert.core.Model;
import edgebert.core.Statistics;
import java.io.IOException;
import java.util.Arrays;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** Shows an answer and what it took; everything that could be wrong in it is in the core, which has tests. */
public final class MainActivity extends Activity {
    /** The folder among the assets. */
    static final String ARTIFACT = "artifact";

    private static final int THREADS = 2;

    /** The only thread that touches the model. */
    private final ExecutorService worker = Executors.newSingleThreadExecutor();

    private double[] samples = new double[0];
    private Model model;
    private boolean used;
    private EditText first;
    private EditText second;
    private Button ask;

    @Override
    protected void onCreate(Bundle state) {
        super.onCreate(state);
        setContentView(R.layout.activity_main);
        first = findViewById(R.id.first);
        second = findViewById(R.id.second);
        ask = findViewById(R.id.ask);
        ask.setOnClickListener(view -> predict());
        // An activity that is made anew still has its intent: a job is not run twice.
        start(state == null ? getIntent() : new Intent());
    }

    @Override
    protected void onNewIntent(Intent intent) {
        super.onNewIntent(intent);
        setIntent(intent);
        start(intent);
    }

    private void start(Intent intent) {
        String job = intent.getStringExtra("bench");
        if (job != null) {
            say(R.id.model, getString(R.string.measuring));
            ask.setEnabled(false);
            getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
            String output = intent.getStringExtra("output");
            worker.execute(() -> bench(job, output));
        } else {
            worker.execute(this::load);
        }
    }

    private void load() {
        if (model != null) {
            return;
        }
        used = true;
        try {
            model = Model.load(Artifact.open(new AssetSource(getAssets(), ARTIFACT)), LiteRtEngine::new, THREADS);
            Golden.Check golden = Golden.check(model);
            String equal = golden.ok() ? getString(R.string.equal) : getString(R.string.unequal, golden.details());
            String name = model.artifact().manifest().name();
            say(R.id.model, getString(R.string.model, name, model.engine().name(), equal));
            runOnUiThread(() -> ready(model.task().roles().toArray(new String[0])));
        } catch (EdgebertException error) {
            say(R.id.model, error.getMessage() + "\n" + error.hint);
        }
    }

    private void ready(String[] roles) {
        first.setHint(roles[0]);
        second.setHint(roles[roles.length - 1]);
        second.setVisibility(roles.length > 1 ? View.VISIBLE : View.GONE);
        ask.setEnabled(true);
    }

    private void predict() {
        String[] texts = second.getVisibility() == View.VISIBLE
            ? new String[] {first.getText().toString(), second.getText().toString()}
            : new String[] {first.getText().toString()};
        worker.execute(() -> predict(texts));
    }

    private void predict(String[] texts) {
        try {
            long start = System.nanoTime();
            Answer answer = model.predict(texts);
            double took = (System.nanoTime() - start) / 1e6;
            samples = Arrays.copyOf(samples, samples.length + 1);
            samples[samples.length - 1] = took;
            say(R.id.answer, Shown.of(answer, texts[texts.length - 1]));
            say(R.id.latency, getString(R.string.latency, took, samples.length, summary()));
        } catch (EdgebertException error) {
            say(R.id.answer, error.getMessage() + "\n" + error.hint);
        }
    }

    /** The percentiles that so many samples can carry. */
    private String summary() {
        Double median = Statistics.percentile(samples, 50);
        Double p90 = Statistics.percentile(samples, 90);
        if (median == null) {
            return getString(R.string.too_few);
        }
        return p90 == null ? getString(R.string.median, median) : getString(R.string.median_and_p90, median, p90);
    }

    private void bench(String job, String output) {
        // A cold start is measured only by what the process was started for.
        boolean fresh = !used;
        used = true;
        int code;
        try {
            code = new Bench(this).run(job, output, () -> fresh ? sinceStart() : null);
        } catch (IOException | EdgebertException error) {
            android.util.Log.e("edgebert", "no output could be written", error);
            code = EdgebertException.Kind.DeviceError.exitCode;
        }
        say(R.id.model, getString(R.string.measured, job, code));
        runOnUiThread(() -> getWindow().clearFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON));
    }

    private static Double sinceStart() {
        return (double) (SystemClock.uptimeMillis() - Process.getStartUptimeMillis());
    }

    private void say(int view, CharSequence text) {
        runOnUiThread(() -> ((TextView) findViewById(view)).setText(text));
    }

    @Override
    protected void onDestroy() {
        worker.execute(() -> {
            if (model != null) {
                model.close();
            }
        });
        worker.shutdown();
        super.onDestroy();
    }
}
