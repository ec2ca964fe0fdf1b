package edgebert.app;

import android.text.SpannableStringBuilder;
import android.text.Spanned;
import android.text.style.BackgroundColorSpan;
import edgebert.core.Answer;
import edgebert.core.Text;
import java.util.Locale;

/** Answers as a person reads them. */
final class Shown {
    private static final int MARK = 0x66FFC107;

    private Shown() {}

    /** An answer; {@code text} is the one that its offsets point into. */
    static CharSequence of(Answer answer, String text) {
        if (answer instanceof Answer.Prediction found) {
            return (found.rejected() ? "none of the labels: " : "") + found.label() + "  " + share(found.score());
        }
        if (answer instanceof Answer.LabelSet found) {
            StringBuilder lines = new StringBuilder(found.labels().isEmpty() ? "no label" : "");
            for (int index = 0; index < found.labels().size(); index++) {
                lines.append(index == 0 ? "" : "\n").append(found.labels().get(index)).append("  ")
                    .append(share(found.scores().get(index)));
            }
            return lines;
        }
        if (answer instanceof Answer.Value found) {
            return String.format(Locale.ROOT, "%.4f", found.value());
        }
        if (answer instanceof Answer.Spans found) {
            SpannableStringBuilder marked = new SpannableStringBuilder(text);
            for (Answer.Span span : found.spans()) {
                mark(marked, text, span.start(), span.end());
                marked.append('\n').append(span.label()).append(": ").append(span.text()).append("  ")
                    .append(share(span.score()));
            }
            return marked;
        }
        if (answer instanceof Answer.TextAnswer found) {
            SpannableStringBuilder marked = new SpannableStringBuilder(text);
            if (found.start() == null) {
                return "the text does not answer it  " + share(found.score());
            }
            mark(marked, text, found.start(), found.end());
            return marked.append('\n').append(found.text()).append("  ").append(share(found.score()));
        }
        float[] vector = ((Answer.Embedding) answer).vector();
        StringBuilder first = new StringBuilder(vector.length + " numbers:");
        for (int index = 0; index < Math.min(8, vector.length); index++) {
            first.append(String.format(Locale.ROOT, " %.4f", vector[index]));
        }
        return first.append(" …");
    }

    /** Marks characters; views count UTF-16 units. */
    private static void mark(SpannableStringBuilder marked, String text, int start, int end) {
        Text counted = new Text(text);
        marked.setSpan(
            new BackgroundColorSpan(MARK), counted.utf16(start), counted.utf16(end), Spanned.SPAN_EXCLUSIVE_EXCLUSIVE);
    }

    private static String share(double probability) {
        return String.format(Locale.ROOT, "%.1f %%", 100 * probability);
    }
}
