package edgebert.core;

import java.util.Locale;

/**
 * A text as code points, which offsets count as they do in Python, with the way back to Java's UTF-16 units, which
 * views and {@code String} methods count.
 */
public final class Text {
    /** Longer texts are refused: they would be cut to a few hundred tokens anyway, and cost memory first. */
    public static final int MOST_CHARACTERS = 4_000_000;

    private final String string;
    private final int[] codePoints;

    public Text(String string) {
        this.string = string;
        this.codePoints = string.codePoints().toArray();
    }

    /** Characters, that is code points. */
    public int length() {
        return codePoints.length;
    }

    /** The code point at a character. */
    public int at(int character) {
        return codePoints[character];
    }

    /** The index in the {@code String} of a character. */
    public int utf16(int character) {
        return string.offsetByCodePoints(0, character);
    }

    /** The characters from {@code start} up to {@code end}. */
    public String slice(int start, int end) {
        return new String(codePoints, start, end - start);
    }

    @Override
    public String toString() {
        return string;
    }

    /**
     * The text itself when it can be tokenized; else throws a DataError: no string, empty, too long, or with half a
     * surrogate pair.
     */
    public static String check(Object value, String where) {
        if (!(value instanceof String text)) {
            throw EdgebertException.data(where + " is no string", "give text");
        }
        UnicodeTables tables = UnicodeTables.get();
        if (text.codePoints().allMatch(tables::isGap)) {
            throw EdgebertException.data(where + " is empty", "give at least one word");
        }
        int count = text.codePointCount(0, text.length());
        if (count > MOST_CHARACTERS) {
            throw EdgebertException.data(
                String.format(Locale.ROOT, "%s has %,d characters, more than %,d", where, count, MOST_CHARACTERS),
                "cut it into shorter texts");
        }
        int character = 0;
        for (int index = 0; index < text.length(); character++) {
            int codePoint = text.codePointAt(index);
            if (codePoint >= Character.MIN_SURROGATE && codePoint <= Character.MAX_SURROGATE) {
                throw EdgebertException.data(
                    String.format(
                        Locale.ROOT, "%s has a lone surrogate (U+%04X) at character %d", where, codePoint, character),
                    "it is no valid Unicode text: decode it anew, replacing what is malformed");
            }
            index += Character.charCount(codePoint);
        }
        return text;
    }
}
