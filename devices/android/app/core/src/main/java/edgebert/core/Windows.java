package edgebert.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Long texts as windows of tokens that overlap, as {@code edgebert/tasks/windows.py} makes them: a window begins at a
 * word's first piece, and each piece is owned by the window in which it has the most context on its scarcer side.
 */
final class Windows {
    private Windows() {}

    /** The pieces of a text, numbered by words that the caller gives as (start, end) characters, ascending. */
    static Encoding byWords(Encoding pieces, int[][] words) {
        int[] numbers = new int[pieces.length()];
        int at = 0;
        for (int index = 0; index < numbers.length; index++) {
            while (at + 1 < words.length && words[at + 1][0] <= pieces.starts()[index]) {
                at++;
            }
            numbers[index] = at;
        }
        return new Encoding(pieces.ids(), pieces.typeIds(), pieces.starts(), pieces.ends(), numbers, false);
    }

    /**
     * Windows of at most {@code most} tokens over a text, at least one.
     *
     * @param stride tokens that neighbours share; null: a quarter of {@code most}
     * @param first pieces that stand before the text in each window (a question), or null; cut to half of a window
     */
    static List<Encoding> over(WordPiece tokenizer, Encoding pieces, int most, Integer stride, int[] first) {
        int[] frame = tokenizer.specials(first != null);
        int[] asked = first == null ? new int[0] : first;
        int kept = Math.min(asked.length, Math.max(1, most / 2 - frame.length));
        Ints head = new Ints();
        head.addAll(frame, 0, Math.min(1, frame.length));
        head.addAll(asked, 0, kept);
        int tail = Math.max(Math.min(1, frame.length), frame.length - 1);
        head.addAll(frame, 1, tail);
        int room = Math.max(1, most - head.size() - (frame.length - tail));
        int shared = Math.min(stride == null ? most / 4 : stride, room - 1);
        List<Encoding> found = new ArrayList<>();
        for (int[] cut : cuts(pieces.words(), room, shared)) {
            found.add(window(head, pieces, cut, Arrays.copyOfRange(frame, tail, frame.length),
                first == null ? 0 : 1, kept < asked.length));
        }
        return found;
    }

    private static Encoding window(Ints head, Encoding pieces, int[] cut, int[] after, int type, boolean truncated) {
        Ints ids = new Ints();
        Ints types = new Ints();
        Ints starts = new Ints();
        Ints ends = new Ints();
        Ints words = new Ints();
        ids.addAll(head.toArray(), 0, head.size());
        ids.addAll(pieces.ids(), cut[0], cut[1]);
        ids.addAll(after, 0, after.length);
        types.fill(0, head.size());
        types.fill(type, cut[1] - cut[0] + after.length);
        Ints[] columns = {starts, ends, words};
        int[][] values = {pieces.starts(), pieces.ends(), pieces.words()};
        for (int column = 0; column < columns.length; column++) {
            int blank = columns[column] == words ? -1 : 0;
            columns[column].fill(blank, head.size());
            columns[column].addAll(values[column], cut[0], cut[1]);
            columns[column].fill(blank, after.length);
        }
        return new Encoding(
            ids.toArray(), types.toArray(), starts.toArray(), ends.toArray(), words.toArray(), truncated);
    }

    /** Where windows begin and end, in pieces: between words, unless one word alone is longer than a window. */
    private static List<int[]> cuts(int[] words, int room, int shared) {
        List<int[]> found = new ArrayList<>();
        int start = 0;
        int end = 0;
        while (true) {
            // Each window ends behind the one before it, or a long word would make windows that add nothing.
            end = betweenWords(words, Math.min(start + room, words.length), Math.max(start, end));
            found.add(new int[] {start, end});
            if (end == words.length) {
                return found;
            }
            start = betweenWords(words, Math.max(end - shared, start + 1), start);
        }
    }

    /** The nearest place before or at {@code at}, and after {@code after}, where a word begins; else {@code at}. */
    private static int betweenWords(int[] words, int at, int after) {
        int place = at;
        while (after < place && place < words.length && words[place] == words[place - 1]) {
            place--;
        }
        return place > after ? place : at;
    }

    /** For each window the tokens (start, end) that it owns: every piece of the text in exactly one window. */
    static int[][] owned(List<Encoding> windows) {
        int[][] found = new int[windows.size()][];
        for (int index = 0; index < found.length; index++) {
            found[index] = windows.get(index).body();
        }
        for (int index = 0; index + 1 < found.length; index++) {
            int shared = overlap(windows.get(index), windows.get(index + 1));
            // In the middle of what they share both sides have the same context.
            int border = (shared + 1) / 2;
            found[index][1] = windows.get(index).body()[1] - shared + border;
            found[index + 1][0] = windows.get(index + 1).body()[0] + border;
        }
        return found;
    }

    /** How many tokens the end of one window and the beginning of the next have in common. */
    private static int overlap(Encoding left, Encoding right) {
        int[] before = left.body();
        int begin = right.body()[0];
        int tail = 0;
        for (int token = before[0]; token < before[1]; token++) {
            boolean later = left.starts()[token] > right.starts()[begin]
                || left.starts()[token] == right.starts()[begin] && left.ends()[token] >= right.ends()[begin];
            tail += later ? 1 : 0;
        }
        // Pieces of one character have the same offsets: the ids tell where the next window begins among them.
        for (int count = tail; count > 0; count--) {
            int[] end = Arrays.copyOfRange(left.ids(), before[1] - count, before[1]);
            if (Arrays.equals(end, Arrays.copyOfRange(right.ids(), begin, begin + count))) {
                return count;
            }
        }
        return 0;
    }

    /**
     * {@code end} moved over what belongs to the character before it: marks, joined characters, selectors, skin tones.
     * Tokenizers drop some of these, so that a piece may end within what a reader sees as one character.
     */
    static int whole(Text text, int end) {
        while (end > 0 && end < text.length()) {
            int following = text.at(end);
            int type = Character.getType(following);
            boolean joined = text.at(end - 1) == 0x200D
                && type != Character.SPACE_SEPARATOR && type != Character.CONTROL;
            boolean modifier = following >= 0x1F3FB && following <= 0x1F3FF || following == 0x200D;
            boolean flag = isFlag(following) && flagsBefore(text, end) % 2 == 1;
            boolean mark = type == Character.NON_SPACING_MARK || type == Character.COMBINING_SPACING_MARK
                || type == Character.ENCLOSING_MARK;
            if (!(joined || modifier || flag || mark)) {
                break;
            }
            end++;
        }
        return end;
    }

    private static boolean isFlag(int codePoint) {
        return codePoint >= 0x1F1E6 && codePoint <= 0x1F1FF;
    }

    private static int flagsBefore(Text text, int end) {
        int count = 0;
        while (count < end && isFlag(text.at(end - 1 - count))) {
            count++;
        }
        return count;
    }
}
