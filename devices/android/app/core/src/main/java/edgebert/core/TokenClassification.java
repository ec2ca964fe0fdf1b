package edgebert.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * A label for each word, in BIO or BIOES; answers are spans of the text. A word's label is that of its first piece.
 *
 * @param stride tokens that neighbouring windows of a long text share; null: a quarter of a window
 * @param outsideBias what is taken from the logit of {@code O} before the largest decides
 */
public record TokenClassification(Integer stride, double outsideBias) implements Task {
    /** A word's characters, the label of its first piece, and that label's probability. */
    private record Word(int number, int start, int end, int label, double score) {}

    @Override
    public List<String> roles() {
        return Collections.singletonList("text");
    }

    @Override
    public List<String> outputs() {
        return Collections.singletonList("logits");
    }

    @Override
    public boolean perToken() {
        return true;
    }

    @Override
    public List<Encoding> encode(WordPiece tokenizer, Map<String, Object> record, int most) {
        Encoding pieces = tokenizer.pieces(text(record));
        int[][] words = words(record);
        return Windows.over(tokenizer, words == null ? pieces : Windows.byWords(pieces, words), most, stride, null);
    }

    @Override
    public Answer decode(
        Map<String, Object> record, List<Encoding> windows, List<Map<String, Tensor>> outputs, List<String> labels) {
        Text text = text(record);
        int[][] given = words(record);
        List<Word> words = answers(windows, outputs, labels);
        List<Answer.Span> spans = new ArrayList<>();
        int free = -1;
        for (Entity entity : entities(words, labels)) {
            int start = words.get(entity.first).start;
            int end = words.get(entity.last).end;
            if (given != null) { // the whole of the given words, whatever of them the tokenizer kept
                start = given[words.get(entity.first).number][0];
                end = given[words.get(entity.last).number][1];
            }
            end = Windows.whole(text, end);
            double sum = 0;
            for (Word word : words.subList(entity.first, entity.last + 1)) {
                sum += word.score;
            }
            if (start >= free) { // `whole` may have moved the end of the one before into this one
                double score = sum / (entity.last + 1 - entity.first);
                spans.add(new Answer.Span(entity.kind, start, end, text.slice(start, end), score));
                free = end;
            }
        }
        return new Answer.Spans(spans, windows.stream().anyMatch(Encoding::truncated));
    }

    @Override
    public Decisions decide(Map<String, Tensor> outputs) {
        return Decisions.byLargest(outputs.get("logits"));
    }

    /** The text of a record, or its words joined by spaces. */
    private static Text text(Map<String, Object> record) {
        return new Text(record.containsKey("tokens")
            ? String.join(" ", Json.strings(record.get("tokens"), "tokens"))
            : Json.string(record.get("text"), "text"));
    }

    /** The characters (start, end) of a record's words, where it gives words; else null. */
    private static int[][] words(Map<String, Object> record) {
        if (!record.containsKey("tokens")) {
            return null;
        }
        List<String> words = Json.strings(record.get("tokens"), "tokens");
        int[][] found = new int[words.size()][];
        int at = 0;
        for (int index = 0; index < found.length; index++) {
            int length = words.get(index).codePointCount(0, words.get(index).length());
            found[index] = new int[] {at, at + length};
            at += length + 1;
        }
        return found;
    }

    /** Each word that has a piece, answered by the window that owns its first. */
    private List<Word> answers(List<Encoding> windows, List<Map<String, Tensor>> outputs, List<String> labels) {
        List<Word> found = new ArrayList<>();
        int[][] owned = Windows.owned(windows);
        for (int number = 0; number < owned.length; number++) {
            Encoding window = windows.get(number);
            Tensor logits = biased(outputs.get(number).get("logits"), labels);
            for (int token = owned[number][0]; token < owned[number][1]; token++) {
                int word = window.words()[token];
                Word last = found.isEmpty() ? null : found.get(found.size() - 1);
                if (last != null && last.number == word) { // a further piece: the word ends later
                    Word longer = new Word(word, last.start, window.ends()[token], last.label, last.score);
                    found.set(found.size() - 1, longer);
                } else {
                    int best = logits.best(token);
                    double score = logits.share(token, best, 1.0);
                    found.add(new Word(word, window.starts()[token], window.ends()[token], best, score));
                }
            }
        }
        return found;
    }

    private Tensor biased(Tensor logits, List<String> labels) {
        if (outsideBias == 0) {
            return logits;
        }
        float[] data = logits.data().clone();
        for (int index = 0; index < data.length; index++) {
            data[index] -= labels.get(index % logits.columns()).equals("O") ? (float) outsideBias : 0f;
        }
        return new Tensor(data, logits.rows(), logits.columns());
    }

    /** A kind, its first and its last word. */
    private record Entity(String kind, int first, int last) {}

    /**
     * The entities of the words' labels, leniently, as conlleval does: one begins at B- or S-, where the kind changes,
     * and after O or the end (E-, S-) of another; it ends before the next O, B- or S-, where the kind changes, and at
     * E- or S-.
     */
    private static List<Entity> entities(List<Word> words, List<String> labels) {
        List<Entity> found = new ArrayList<>();
        String kind = "";
        String before = "O";
        int start = 0;
        for (int index = 0; index <= words.size(); index++) {
            String tag = index < words.size() ? labels.get(words.get(index).label) : "O";
            int dash = tag.indexOf('-');
            String mark = dash < 0 ? tag : tag.substring(0, dash);
            String label = dash < 0 ? "" : tag.substring(dash + 1);
            boolean inside = !mark.equals("O") && !mark.isEmpty();
            boolean openBefore = !before.equals("O") && !before.isEmpty();
            boolean fresh = mark.equals("B") || mark.equals("S") || !label.equals(kind)
                || before.equals("E") || before.equals("S");
            if (openBefore && (!inside || fresh)) {
                found.add(new Entity(kind, start, index - 1));
            }
            if (inside && (!openBefore || fresh)) {
                start = index;
            }
            kind = inside ? label : "";
            before = inside ? mark : "O";
        }
        return found;
    }
}
